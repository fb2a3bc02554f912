using Halo.CustomOps;
using Halo.Models.Bundled;
using Halo.Serialization;
using Halo.Tests.Numerics;
using Halo.Tests.Runner.Distributed;

namespace Halo.Tests.Runner;

/// <summary>Runs whose rows share rows of the graph, beside runs of rows of their own.</summary>
public sealed class PackedTrainingTests(PackedTrainingTests.Unpacked apart) : IClassFixture<PackedTrainingTests.Unpacked>
{
    private static readonly (string, string)[] Sizes = [("sequence_length", "256"), ("micro_batch_size", "2")];

    private readonly RankThreads _runs = apart.Runs;

    public sealed class Unpacked : IDisposable
    {
        public Unpacked() => Runs.Train(Runs.Config("apart", 2, [("valid", Runs.Valid), .. Sizes]), 1);

        public RankThreads Runs { get; } = new();

        public void Dispose() => Runs.Dispose();
    }

    /// <summary>The same updates, from fewer micro-batches; one rank and two, which have one micro-batch or two each.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Losses_are_those_of_a_run_that_is_not_packed(int ranks)
    {
        var name = $"packed-{ranks}";
        _runs.Train(_runs.Config(name, 2, [("valid", _runs.Valid), ("packing", "documents"), .. Sizes]), ranks);
        var (expected, found) = (_runs.Numbers("apart"), _runs.Numbers(name));
        Assert.Equal(expected.Count, found.Count);
        Assert.All(expected.Zip(found), n => Assert.Equal(n.First, n.Second, Tolerances.LossesOfTraining));
        var forward = OnnxReader.Read(Path.Combine(_runs[name], "artifact", "forward_model.onnx"), HaloOperators.Catalogue);
        Assert.DoesNotContain(forward.Graph.Inputs, i => i.Name == "document_ids"); // what is exported reads one document a row
    }

    /// <summary>
    /// Whatever is trained, and however moments are kept: 7 rows of 8 tokens fill 2 micro-batches of 2 x 24, of 6 and of 1, in place of 4.
    /// </summary>
    [Theory]
    [InlineData("--adapter-kind", "lora", "--adapter-rank", "4")]
    [InlineData("--adapter-kind", "dora", "--adapter-base", "int4")]
    [InlineData("--moments", "fp8")]
    public void Losses_and_norms_are_those_of_a_run_that_is_not_packed_with(params string[] options)
    {
        using var folder = new TemporaryFolder();
        var model = TinyChat.Write(folder, ExportFixture.Folder(TinyChat.Export));
        foreach (var packing in new[] { "none", "documents" })
        {
            var (code, _, error) = HaloConsole.Run(["train", "--model", model, "--data", folder["data.jsonl"], "-o", folder[packing], "--packing", packing, "--steps", "3",
                "--batch-size", "7", "--micro-batch-size", "2", "--sequence-length", "24", "--learning-rate", "1e-3", "--clip-norm", "1", "--threads", "1", .. options]);
            Assert.True(code == 0, error);
            if (packing == "documents")
                Assert.Contains("packing: 7 rows fill 2.00 micro-batches of 2 x 24 on average (2 at the most) in place of 4", error, StringComparison.Ordinal);
        }
        var (expected, found) = (RankThreads.NumbersOf(folder["none"]), RankThreads.NumbersOf(folder["documents"]));
        Assert.Equal(6, found.Count);
        Assert.All(expected.Zip(found), n => Assert.Equal(n.First, n.Second, Tolerances.LossesOfTraining));
    }

    [Fact]
    public void A_rewritten_run_goes_on_with_the_same_bits()
    {
        var config = _runs.Config("again", 2, [("packing", "documents"), ("scheme", "halo-2"), ("format", "int8"), ("save_every", "1"), .. Sizes]);
        _runs.Train(config, 1);
        Assert.Equal(_runs.Numbers("apart")[1], _runs.Numbers("again")[0], 0.05); // 8 bits; the first of "apart" is an evaluation
        var last = Path.Combine(_runs["again"], "checkpoints", "step-00000002");
        string[] files = [.. new[] { "model.safetensors", "optimizer.safetensors" }.Select(file => Path.Combine(last, file))];
        var whole = files.Select(File.ReadAllBytes).ToList();
        Directory.Delete(last, recursive: true); // as if the run had been killed behind the first update
        var record = Path.Combine(_runs["again"], "run.json");
        File.WriteAllText(record, File.ReadAllText(record).Replace("\"newest_checkpoint\": 2", "\"newest_checkpoint\": 1", StringComparison.Ordinal));
        _runs.Train(config, 1, resume: true);
        Assert.Equal(whole, files.Select(File.ReadAllBytes));
    }

    [Fact]
    public void An_evaluation_counts_the_same_tokens_and_gives_the_same_loss()
    {
        string[] eval = ["eval", "--model", LlamaTiny.Folder, "--data", _runs.Valid, "--micro-batch-size", "2"];
        var (expected, found) = (HaloConsole.Succeed(eval), HaloConsole.Succeed([.. eval, "--packing", "documents"]));
        Assert.Equal(Loss(expected), Loss(found), Tolerances.LossesOfTraining);
        Assert.Equal(expected.Split('|')[2], found.Split('|')[2]);

        static double Loss(string line) => double.Parse(line.Split(' ')[1], System.Globalization.CultureInfo.InvariantCulture);
    }

    [Fact]
    public void An_artifact_holds_whether_its_rows_are_packed()
    {
        HaloConsole.Succeed("prepare", "--model", LlamaTiny.Folder, "-o", _runs["artifact"], "--packing", "documents", "--micro-batch-size", "4");
        string[] train = ["train", "--model", _runs["artifact"], "--data", _runs.Valid, "-o", _runs["of-artifact"], "--steps", "1", "--batch-size", "5"];
        var (code, _, error) = HaloConsole.Run([.. train, "--packing", "documents"]);
        Assert.Equal(2, code);
        Assert.Contains("packing: expected it left out", error, StringComparison.Ordinal);
        (code, _, error) = HaloConsole.Run(train);
        Assert.True(code == 0, error);
        Assert.Contains("packing: 5 rows fill 1.00 micro-batches of 4 x 256", error, StringComparison.Ordinal);
    }

    [Fact]
    public void Memory_is_planned_of_the_packed_graph()
    {
        var output = HaloConsole.Succeed("plan", "--model", LlamaTiny.Folder, "--packing", "documents", "--micro-batch-size", "2", "--batch-size", "8");
        Assert.Contains("sums of gradients", output, StringComparison.Ordinal);
    }
}
