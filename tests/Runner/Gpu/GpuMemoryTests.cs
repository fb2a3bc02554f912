using System.Text.Json;
using Halo.CustomOps;

namespace Halo.Tests.Runner.Gpu;

/// <summary>Levers of memory on a GPU that the CPU emulates: the bits they keep, and what the allocator then gives out.</summary>
[Collection(EmulatedGpuProcesses.Name)]
[Trait("Category", "Slow")]
public sealed class GpuMemoryTests(EmulatedGpu gpu) : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    /// <summary>Moments, then parameters too, lie on the host; gradients do not exist together. The parameters of this model are most of its memory.</summary>
    [Fact]
    public void States_on_the_host_and_updates_in_the_backward_part_keep_the_bits()
    {
        var model = TinyChat.Write(_folder);
        var plain = Train(model, "plain");
        var moments = Train(model, "moments", "--offload", "moments");
        var all = Train(model, "all", "--offload", "states", "--optimizer-in-backward", "true");
        foreach (var other in new[] { moments, all })
        {
            Assert.Equal(plain.Updates, other.Updates);
            Assert.Equal(plain.Checkpoint, other.Checkpoint);
        }
        var states = plain.Checkpoint.Sum(c => c.LongLength) / 3; // parameters and two moments
        Assert.InRange(plain.Peak - moments.Peak, 1.9 * states, 2.1 * states);
        Assert.True(moments.Peak - all.Peak > 0.9 * states, $"{moments.Peak} and {all.Peak}");
    }

    /// <summary>Copies of the residual stream are made when they are waited for, the latest that a GPU may make them; runs are recorded and replayed, or not.</summary>
    [Theory]
    [InlineData(false, "--recompute layer")]
    [InlineData(true, "--recompute none --scheme halo-0 --format fp8 --batch-size 6")]
    [InlineData(false, "--recompute elementwise --optimizer-in-backward true")]
    public void Residuals_on_the_host_keep_the_bits(bool isLess, string text)
    {
        var options = text.Split(' ');
        var model = TinyChat.Write(_folder);
        var plain = Train(model, "plain", options);
        foreach (var records in new[] { false, true })
        {
            var offloaded = Train(model, $"offloaded-{records}", records, [.. options, "--offload-residuals", "true"]);
            Assert.Equal(plain.Updates, offloaded.Updates);
            Assert.Equal(plain.Checkpoint, offloaded.Checkpoint);
            // Of two layers the first one's go away: where layers are computed again, the second one's copies take as much.
            Assert.True(isLess ? offloaded.Peak < plain.Peak : offloaded.Peak == plain.Peak, $"{offloaded.Peak} bytes with residuals on the host, {plain.Peak} without");
        }
    }

    /// <summary>
    /// Codes lie in gradients' memory until those are written, with other bits than a graph without loans no more than with recorded runs, and what the
    /// allocator gives out is what the plan says without them.
    /// </summary>
    [Theory]
    [InlineData("fp8", "halo-0")]
    [InlineData("int8", "halo-2")]
    public void Codes_in_the_memory_of_gradients_keep_the_bits(string format, string scheme)
    {
        var model = TinyChat.Write(_folder);
        string[] options = ["--format", format, "--scheme", scheme];
        var notLent = Train(model, "plain", [.. options, "--optimizer-in-backward", "true"]);
        foreach (var records in new[] { false, true })
        {
            var lent = Train(model, $"lent-{records}", records, options);
            Assert.Equal(notLent.Updates, lent.Updates);
            Assert.Equal(notLent.Checkpoint, lent.Checkpoint);
            using var plan = JsonDocument.Parse(HaloConsole.Succeed(["plan", .. model, "--device", "cuda", "--rederive", "true", .. options, "--json"]));
            Assert.True(plan.RootElement.GetProperty("lent_bytes").GetInt64() > 0, "codes are lent");
            var planned = plan.RootElement.GetProperty("peak_bytes").GetInt64();
            Assert.InRange((double)(planned - GpuKernelMemory.ProductBytes) / (lent.Peak - GpuKernelMemory.ProductBytes), 0.97, 1.03);
        }
    }

    /// <summary>Moments of 8 bits, their update by the kernel of the GPU: each of the log's planned bytes is taken, and no more.</summary>
    [Fact]
    public void Moments_of_8_bits_take_what_is_planned()
    {
        var model = TinyChat.Write(_folder);
        var plain = Train(model, "plain");
        var coded = Train(model, "coded", "--moments", "fp8");
        Assert.Equal(plain.Updates[0], coded.Updates[0]);
        var states = plain.Checkpoint.Sum(c => c.LongLength) / 3;
        Assert.InRange(plain.Peak - coded.Peak, 1.4 * states, 1.5 * states);
    }

    [Theory]
    [InlineData("--offload", "moments")]
    [InlineData("--offload-residuals", "true")]
    public void Offload_is_refused_on_the_cpu(string option, string value) => Assert.Contains($"{option}: expected device cuda, whose memory it saves",
        HaloConsole.Run(["train", .. TinyChat.Write(_folder), "--data", _folder["data.jsonl"], "-o", _folder["x"], option, value]).Error, StringComparison.Ordinal);

    /// <summary>Codes of weights that are made once for two micro-batches, by a session of its own; runs are recorded and replayed, or not.</summary>
    [Theory]
    [InlineData("halo-0", "fp8")]
    [InlineData("halo-2", "int8")]
    public void Codes_of_an_update_keep_the_bits(string scheme, string format)
    {
        string[] options = ["--scheme", scheme, "--format", format, "--batch-size", "6"];
        var model = TinyChat.Write(_folder);
        var plain = Train(model, "plain", options);
        foreach (var records in new[] { false, true })
        {
            var once = Train(model, $"once-{records}", records, [.. options, "--weight-codes", "update"]);
            Assert.Equal(plain.Updates, once.Updates);
            Assert.Equal(plain.Checkpoint, once.Checkpoint);
        }
    }

    private (IReadOnlyList<string> Updates, byte[][] Checkpoint, long Peak) Train(string[] model, string output, params string[] options) =>
        Train(model, output, records: false, options);

    private (IReadOnlyList<string> Updates, byte[][] Checkpoint, long Peak) Train(string[] model, string output, bool records, string[] options)
    {
        Func<IEnumerable<string>, string> run = records ? gpu.SucceedRecording : gpu.Succeed;
        run(["train", .. model, "--data", _folder["data.jsonl"], "-o", _folder[output], "--device", "cuda", "--rederive", "true", "--steps", "2",
            "--learning-rate", "1e-2", "--schedule", "constant", .. options]);
        var rows = File.ReadLines(_folder[$"{output}/metrics.jsonl"]).Select(l => JsonDocument.Parse(l).RootElement)
            .Where(r => r.GetProperty("kind").GetString() == "train").ToList();
        return ([.. rows.Select(r => $"{r.GetProperty("loss").GetRawText()} {r.GetProperty("gradient_norm").GetRawText()}")],
            [.. new[] { "model.safetensors", "optimizer.safetensors" }.Select(file => File.ReadAllBytes(_folder[$"{output}/checkpoints/step-00000002/{file}"]))],
            rows.Max(r => r.GetProperty("memory_peak").GetInt64()));
    }
}
