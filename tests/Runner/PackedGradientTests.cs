using Halo.Models.HuggingFace;
using Halo.Models.Optimizer;
using Halo.Models.Weights;
using Halo.Passes.Canonical.Precision;
using Halo.Runner.Data;
using Halo.Runner.Sessions;
using Halo.Runner.Sources;
using Halo.Runner.Training;
using Halo.Runner.Training.Engine;
using Halo.Serialization;
using Halo.Tests.Numerics;
using Halo.Tests.Runner.Gpu;

namespace Halo.Tests.Runner;

/// <summary>Loss and gradients of packed rows beside those of rows of their own.</summary>
[Collection(EmulatedGpuProcesses.Name)]
public sealed class PackedGradientTests : IDisposable
{
    private const int Sequence = 24;

    /// <summary>Bins of first fit: 20 + 4, 14 + 9, 8 + 6 + 5.</summary>
    private static readonly int[] Lengths = [9, 5, 14, 20, 4, 8, 6];

    private readonly TemporaryFolder _folder = new();
    private readonly EmulatedGpu _gpu;

    public PackedGradientTests(EmulatedGpu gpu) => _gpu = gpu;

    public void Dispose() => _folder.Dispose();

    /// <summary>A folder, whose graph is built, and exports whose attention and places are found.</summary>
    public static TheoryData<string, string?> Forms => new()
    {
        { "llama2-mha", null }, { "llama3-gqa", null }, { "llama32-tied", null }, { "llama2-mha", "logits-torchscript-opset17.onnx" },
        { "llama32-tied", "logits-dynamo-sdpa-opset23.onnx" }, { "llama2-mha", "logits-dynamo-opset18.onnx" },
    };

    [Theory]
    [MemberData(nameof(Forms))]
    public void Packed_gradients_are_those_of_rows_of_their_own(string name, string? file)
    {
        using var apart = Open(name, file, rows: Lengths.Length, RowPacking.None);
        using var packed = Open(name, file, rows: 3, RowPacking.Documents);
        var (expected, found) = (apart.Run(Batch(apart, name)[0]), packed.Run(Assert.Single(Batch(packed, name))));
        Assert.Equal(expected, found, Tolerances.OtherOperators * expected);
        Same(apart, packed, e => e.Gradients, Tolerances.OtherOperators);
    }

    /// <summary>The first moment after the first update is the gradient, summed over micro-batches, times 1 - beta1.</summary>
    [Theory]
    [InlineData(1, 3)]
    [InlineData(2, 2)]
    public void Micro_batches_of_unequal_length_sum_to_one_large_batch(int rows, int count)
    {
        using var large = Open("llama2-mha", null, rows: 3, RowPacking.Documents, updates: true);
        using var small = Open("llama2-mha", null, rows, RowPacking.Documents, updates: true);
        var batch = Batch(small, "llama2-mha");
        Assert.Equal(count, batch.Count);
        Assert.True(batch.Select(m => m.CountedTokens).Distinct().Count() > 1);
        var (expected, found) = (large.Step(Batch(large, "llama2-mha"), 1, 1e-3), small.Step(batch, 1, 1e-3));
        Assert.Equal(expected.Loss, found.Loss, Tolerances.SameGraph * expected.Loss);
        Assert.Equal(expected.GradientNorm, found.GradientNorm, Tolerances.SameGraph * expected.GradientNorm);
        Same(large, small, e => e.FirstMoments, Tolerances.SameGraph);
    }

    [Theory]
    [Trait("Category", "Slow")]
    [InlineData("llama3-gqa", FloatPrecision.Fp32, Tolerances.OtherOperators)]
    [InlineData("llama3-gqa", FloatPrecision.Bf16, Tolerances.BFloat16Graph)]
    public void So_they_are_on_a_GPU(string name, FloatPrecision precision, double tolerance)
    {
        foreach (var packing in new[] { RowPacking.None, RowPacking.Documents })
        {
            var config = Config(name, null, packing == RowPacking.None ? Lengths.Length : 3, packing) with { Precision = precision };
            var model = TrainingGraphSource.Open(config).Training().Model;
            var graph = _folder[$"{packing}.onnx"];
            OnnxWriter.Write(model, graph);
            var @interface = TrainingInterface.Of(model.Graph, graph, GraphDevice.Cuda);
            var micro = Assert.Single(Batch(@interface, packing, name));
            SafetensorsWriter.Write(_folder[$"{packing}.batch"], [.. @interface.Batch.Select(b => new SafetensorsSource(b.Name, Halo.Ir.ElementType.Int64,
                [@interface.Rows, Sequence], System.Runtime.InteropServices.MemoryMarshal.AsBytes<long>(micro[b.Role]).ToArray()))]);
            _gpu.Succeed(["step", graph, "--params", ExportFixture.File(name, "model.safetensors"), "--batch", _folder[$"{packing}.batch"],
                "-o", _folder[$"{packing}"], "--device", "cuda"]);
        }
        GpuSteps.Compare(_folder[$"{RowPacking.Documents}"], _folder[$"{RowPacking.None}"], tolerance);
    }

    [Fact]
    public void What_cannot_be_packed_is_refused_by_name()
    {
        var joint = Config("llama2-mha", "training.onnx", 3, RowPacking.Documents);
        Assert.Contains("found a training graph whose rows are one document each", Message(joint), StringComparison.Ordinal);

        string Message(TrainConfig config) => Assert.Throws<HaloException>(() => TrainingGraphSource.Open(config).Training()).Message;
    }

    private static TrainConfig Config(string name, string? file, int rows, RowPacking packing) => new()
    {
        Model = file is null ? ExportFixture.Folder(name) : ExportFixture.File(name, file),
        Weights = ExportFixture.Folder(name),
        Packing = packing,
        MicroBatchSize = rows,
        SequenceLength = Sequence,
    };

    private static TrainingEngine Open(string name, string? file, int rows, RowPacking packing, bool updates = false)
    {
        var model = TrainingGraphSource.Open(Config(name, file, rows, packing)).Training().Model;
        var @interface = TrainingInterface.Of(model.Graph, name, GraphDevice.Cpu);
        var engine = new TrainingEngine(@interface, new GraphSession(name, OnnxWriter.ToBytes(model), new SessionSettings()),
            updates ? OnnxWriter.ToBytes(AdamWGraph.Build(@interface.Trained, new AdamWSettings())) : null, accumulates: updates, threads: 0);
        using var weights = CheckpointReader.Open(ExportFixture.Folder(name));
        engine.Parameters.Load(weights.Path, weights.Tensors);
        return engine;
    }

    private static IReadOnlyList<MicroBatch> Batch(TrainingEngine engine, string name) =>
        Batch(engine.Interface, engine.Interface.Batch.Count > 3 ? RowPacking.Documents : RowPacking.None, name);

    private static IReadOnlyList<MicroBatch> Batch(TrainingInterface @interface, RowPacking packing, string name)
    {
        var vocabulary = DecoderConfig.Load(ExportFixture.File(name, "config.json")).VocabularySize;
        var random = new Random(11);
        TokenizedRow[] rows = [.. Lengths.Select((length, i) => new TokenizedRow([.. Enumerable.Range(0, length).Select(_ => random.Next(vocabulary))],
            [.. Enumerable.Range(0, length).Select(t => (byte)(t % (i + 2) == 0 ? 0 : 1))]))];
        return Batcher.ForEvaluation(rows, @interface.Layout(padId: 0, packing == RowPacking.Documents), rows.Length).At(0).MicroBatches;
    }

    private static void Same(TrainingEngine expected, TrainingEngine found, Func<TrainingEngine, ParameterBuffers> of, double tolerance)
    {
        foreach (var (name, _) in of(expected).Parameters)
        {
            var error = RelativeError.Of(of(found).Span(name), of(expected).Span(name).ToArray());
            Assert.True(error <= tolerance, $"{name}: {error:E2}");
        }
    }
}
