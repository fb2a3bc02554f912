using System.Text.RegularExpressions;
using Halo.Runner.Cli;

namespace Halo.Tests;

public partial class ReadmeTests
{
    /// <summary>Every command line of the README is one that halo understands.</summary>
    [Fact]
    public void Every_command_in_the_README_parses()
    {
        var lines = File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "README.md")).Replace("\\\n", " ", StringComparison.Ordinal).Split('\n')
            .Where(l => l.StartsWith("./halo ", StringComparison.Ordinal)).ToList();
        Assert.True(lines.Count >= 6);
        foreach (var line in lines)
        {
            var arguments = Words().Matches(line.Split('#')[0].Split('>')[0]).Skip(1).Select(word => word.Value.Trim('"')).ToArray();
            Assert.True(Root.Command().Parse(arguments).Errors.Count == 0, line);
        }
    }

    /// <summary>Every relative link of the documentation leads to a file or folder of the repository.</summary>
    [Fact]
    public void Every_link_of_the_documentation_leads_somewhere()
    {
        var root = RepositoryRoot.Path;
        var pages = Directory.EnumerateFiles(root, "*.md", SearchOption.AllDirectories)
            .Where(p => !Path.GetRelativePath(root, p).Split(Path.DirectorySeparatorChar).Any(d => d is "bin" or "obj" || (d.StartsWith('.') && d.Length > 1))).ToList();
        Assert.Contains(pages, p => Path.GetFileName(p) == "glossary.md");
        var dead = pages.SelectMany(page => Links().Matches(File.ReadAllText(page)).Select(link => (page, Link: link.Groups[1].Value)))
            .Where(l => !l.Link.Contains("://", StringComparison.Ordinal) && !Path.Exists(Path.Combine(Path.GetDirectoryName(l.page)!, l.Link)));
        Assert.Empty(dead);
    }

    [GeneratedRegex(@"\]\(([^)#\s]+)(?:#[^)]*)?\)")]
    private static partial Regex Links();

    /// <summary>As a shell splits them: at spaces that stand in no quotes.</summary>
    [GeneratedRegex("\"[^\"]*\"|\\S+")]
    private static partial Regex Words();
}
