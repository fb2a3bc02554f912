using Halo.Runner.Cli;

namespace Halo.Tests;

public class ReadmeTests
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
            var arguments = line.Split('#')[0].Split('>')[0].Split(' ', StringSplitOptions.RemoveEmptyEntries).Skip(1).Select(a => a.Trim('"')).ToArray();
            Assert.True(Root.Command().Parse(arguments).Errors.Count == 0, line);
        }
    }
}
