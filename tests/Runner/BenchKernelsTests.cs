using Halo.CustomOps;
using Halo.Runner.Benchmarks;
using Halo.Tests.Runner.Gpu;

namespace Halo.Tests.Runner;

public sealed class BenchKernelsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Tables_have_a_rate_and_its_share_of_the_ceilings()
    {
        var report = new KernelReport(new Dictionary<string, string> { ["gpu"] = "one", ["driver"] = "580.1" },
        [
            new("ceiling: copy", "bytes", "1024", 1, 2980.4),
            new("ceiling: product", "bfloat16", "8 x 8 x 8", 1, TeraflopsPerSecond: 819.43),
            new("add", "float", "8 x 8", 0.5, 1490.2, 0.5),
            new("attention", "bfloat16", "1 x 2 x 3 x 4", 2, TeraflopsPerSecond: 409.7, OfProducts: 0.5),
        ]);
        Assert.Equal("""
            gpu one, driver 580.1.

            a copy moves 2980 GB/s, read and written; product in bfloat16, 8 x 8 x 8: 819.4 TFLOP/s.

            | kernel | type | shape | ms | GB/s | of copy |
            |---|---|---|---|---|---|
            | `add` | float | 8 x 8 | 0.500 | 1490 | 0.50 |

            | product | type | shape | ms | TFLOP/s | of products |
            |---|---|---|---|---|---|
            | `attention` | bfloat16 | 1 x 2 x 3 x 4 | 2.000 | 409.7 | 0.50 |

            """, report.ToMarkdown());
        Assert.Equal("""
            {"gpu":"one","driver":"580.1"}
            {"kernel":"ceiling: copy","type":"bytes","shape":"1024","ms":1,"gb_per_s":2980.4}
            """, string.Join('\n', report.ToJsonLines().Split('\n')[..2]));
    }

    [Fact]
    public void Operators_of_the_CPU_are_timed_by_kernel_and_by_body()
    {
        if (!NativeOperators.IsBuilt)
            return; // nothing to time
        var output = HaloConsole.Succeed("bench", "kernels", "--filter", "RmsNorm float", "--rounds", "1", "--threads", "1", "--json", _folder["a.jsonl"]);
        Assert.Contains("| `RmsNorm` | float | 2048 x 256 |", output, StringComparison.Ordinal);
        Assert.Contains("| body, ms | body / kernel |", output, StringComparison.Ordinal);
        Assert.Equal(4, File.ReadAllLines(_folder["a.jsonl"]).Length);
    }

    [Fact]
    public void Wrong_options_are_told()
    {
        HaloConsole.Refused(_folder, "--rounds", "bench", "kernels", "--rounds", "0");
        HaloConsole.Refused(_folder, "part of a kernel's name", "bench", "kernels", "--filter", "no such kernel");
        if (new WithGpuAttribute().Skip is not null)
            HaloConsole.Refused(_folder, "device: cuda: expected", "bench", "kernels", "--device", "cuda");
    }
}
