using System.Text.RegularExpressions;
using Halo.Passes.Cleanup;

namespace Halo.Tests.Passes;

public partial class FitCudaProviderTests
{
    /// <summary>The table of what the provider refuses names what the pass rewrites, and nothing else.</summary>
    [Fact]
    public void The_documentation_names_what_is_rewritten()
    {
        var page = File.ReadAllText(Path.Combine(RepositoryRoot.Path, "docs", "providers.md"));
        var table = page[page.IndexOf("in bfloat16\n", StringComparison.Ordinal)..page.IndexOf("## Beside bfloat16", StringComparison.Ordinal)];
        var named = table.Split('\n').Where(row => row.StartsWith("| `", StringComparison.Ordinal)).SelectMany(row => Operators().Matches(row.Split('|')[1]))
            .Select(m => m.Groups[1].Value).ToList();
        Assert.Equal([.. ((string[])[.. FitCudaProvider.NotInBFloat16, "Cast", "Pad", "ScatterND"]).Order(StringComparer.Ordinal)], named.Order(StringComparer.Ordinal));
    }

    [GeneratedRegex("`([A-Za-z0-9]+)`")]
    private static partial Regex Operators();
}
