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

    /// <summary>As a shell splits them: at spaces that stand in no quotes.</summary>
    [GeneratedRegex("\"[^\"]*\"|\\S+")]
    private static partial Regex Words();
}
