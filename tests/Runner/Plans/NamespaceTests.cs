using System.Text.RegularExpressions;

namespace Halo.Tests.Runner.Plans;

/// <summary>The folders between settings and loop import each other in one direction.</summary>
public sealed partial class NamespaceTests
{
    private static readonly string[] LowestFirst = ["Sessions", "Data", "Distributed", "Training", "Memory", "Sources", "Plans", "Artifacts", "Runs"];

    [Fact]
    public void Folders_of_the_runner_import_only_those_below_them()
    {
        var wrong = from folder in LowestFirst.Index()
                    from path in Directory.EnumerateFiles(Path.Combine(RepositoryRoot.Path, "runner", folder.Item), "*.cs", SearchOption.AllDirectories)
                    from Match use in Import().Matches(File.ReadAllText(path))
                    where !LowestFirst.Take(folder.Index + 1).Contains(use.Groups[1].Value) && Path.GetFileName(path) != "Launch.cs" // it reads settings
                    select $"{Path.GetFileName(path)} in {folder.Item} imports {use.Groups[1].Value}";
        Assert.Empty(wrong);
    }

    [GeneratedRegex(@"^using Halo\.Runner\.(\w+)", RegexOptions.Multiline)]
    private static partial Regex Import();
}
