using Halo.Tests.Runner.Gpu;
using Xunit.Abstractions;

[assembly: TestCollectionOrderer("Halo.Tests." + nameof(Halo.Tests.LongestFirst), "Halo.Tests")]

namespace Halo.Tests;

/// <summary>Collections that compile something before their first test begin first: begun last, they would run on alone, with a core idle.</summary>
public sealed class LongestFirst : ITestCollectionOrderer
{
    private static readonly string[] First = [nameof(EmulatedGpu), EmulatedGpuProcesses.Name, nameof(CustomOps.NativeCheckTests)];

    public IEnumerable<ITestCollection> OrderTestCollections(IEnumerable<ITestCollection> testCollections) =>
        testCollections.OrderByDescending(collection => First.Any(name => collection.DisplayName.EndsWith(name, StringComparison.Ordinal)));
}
