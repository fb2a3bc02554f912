using System.Text.Json;
using Halo.Models.Bundled;
using Halo.Models.Weights;

namespace Halo.Tests.Runner.Gpu;

/// <summary>Sums of gradients in bfloat16 on a GPU that the CPU emulates: SQL rows, four micro-batches an update.</summary>
[Collection(EmulatedGpuProcesses.Name)]
[Trait("Category", "Slow")]
public sealed class GpuGradientSumsTests(EmulatedGpu gpu) : IDisposable
{
    private const int Updates = 4;

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void They_take_half_the_memory_train_as_well_and_go_on_to_the_bit()
    {
        File.WriteAllLines(_folder["rows.jsonl"], Enumerable.Range(0, 8).Select(i =>
            $$"""{"messages":[{"role":"user","content":"t{{i}}"},{"role":"assistant","content":"select a{{i}} from t where c{{i}} = {{i}}"}]}"""));
        var wide = Train("wide");
        var narrow = Train("narrow", "--gradient-sums", "bf16");

        Assert.Equal(wide.Losses[0], narrow.Losses[0]); // before the first update
        Assert.Equal(wide.Norms[0], narrow.Norms[0], 0.01 * wide.Norms[0]);
        Assert.True(wide.Losses[^1] < wide.Losses[0] - 0.2, $"{wide.Losses[0]} to {wide.Losses[^1]}");
        Assert.Equal(wide.Losses[^1], narrow.Losses[^1], 0.02);
        Assert.NotEqual(Files("wide")[0], Files("narrow")[0]);

        using (var parameters = SafetensorsFile.Open(_folder[$"narrow/checkpoints/step-{Updates:D8}/model.safetensors"]))
        {
            var half = parameters.Tensors.Values.Sum(t => t.SizeBytes); // two bytes of each of four
            Assert.InRange(wide.Peak - narrow.Peak, 0.99 * half, 1.01 * half);
        }

        var whole = Files("narrow");
        Directory.Delete(_folder[$"narrow/checkpoints/step-{Updates:D8}"], recursive: true); // as if the run had been killed behind the update before
        gpu.Succeed(["train", "--resume", "-o", _folder["narrow"]]);
        Assert.Equal(whole, Files("narrow"));

        Train("recorded", gpu.SucceedRecording, "--gradient-sums", "bf16"); // what rounds an addition is read when a recording is replayed
        Assert.Equal(whole, Files("recorded"));
    }

    private byte[][] Files(string run) =>
        [.. new[] { "model.safetensors", "optimizer.safetensors" }.Select(file => File.ReadAllBytes(_folder[$"{run}/checkpoints/step-{Updates:D8}/{file}"]))];

    private (double[] Losses, double[] Norms, long Peak) Train(string output, params string[] options) => Train(output, gpu.Succeed, options);

    private (double[] Losses, double[] Norms, long Peak) Train(string output, Func<IEnumerable<string>, string> run, params string[] options)
    {
        run(["train", "--model", LlamaTiny.Folder, "--data", _folder["rows.jsonl"], "-o", _folder[output], "--device", "cuda", "--precision", "bf16",
            "--states", "bf16", "--micro-batch-size", "1", "--batch-size", "4", "--sequence-length", "24", "--steps", $"{Updates}", "--learning-rate", "1e-3",
            "--schedule", "constant", "--save-every", "1", "--seed", "5", .. options]);
        var rows = File.ReadLines(_folder[$"{output}/metrics.jsonl"]).Select(l => JsonDocument.Parse(l).RootElement)
            .Where(r => r.GetProperty("kind").GetString() == "train").ToList();
        double[] Each(string name) => [.. rows.Select(r => r.GetProperty(name).GetDouble())];
        return (Each("loss"), Each("gradient_norm"), rows.Max(r => r.GetProperty("memory_peak").GetInt64()));
    }
}
