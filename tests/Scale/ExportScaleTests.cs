using System.Diagnostics;
using System.Globalization;
using Halo.Ir;
using Halo.Models.HuggingFace;
using Halo.Models.Llama;
using Halo.Passes.Export;
using Halo.Passes.Infra;
using Halo.Runner.Sources;
using Halo.Serialization;

namespace Halo.Tests.Scale;

/// <summary>What keeps the export of large models small; seconds are measured by <c>tests/Benchmarks/export-scale.sh</c>.</summary>
/// <remarks>
/// Measured in a process of its own (<see cref="Main"/>). <see cref="GC.GetTotalMemory"/> ends its collections where two differ by less than 5 % of the whole
/// heap, so behind other tests, with hundreds of MB in this process, what an export holds drowns in what is about to be freed.
/// </remarks>
public class ExportScaleTests
{
    /// <summary>5 MiB as it is, 23 where weights are rotated and quantized.</summary>
    private const long Bound = 40 << 20;

    private static readonly DecoderConfig Config = new()
    {
        HiddenSize = 1024,
        IntermediateSize = 4096,
        Layers = 4,
        Heads = 8,
        KeyValueHeads = 8,
        HeadDim = 128,
        VocabularySize = 768,
        MaxPositions = 64,
        RopeTheta = 10000,
        RmsNormEpsilon = 1e-5,
        DType = ElementType.BFloat16,
    };

    /// <summary>Bytes alive while weights of 270 MB are read: one in float32 (16 MiB), pieces of each transformation, buffers kept for the next.</summary>
    [Theory]
    [InlineData("")]
    [InlineData("fold-norms,rotate-weights,quantize-weights{format=int4}")]
    [InlineData("fold-norms,rotate-weights{online=true},quantize-weights{format=fp8}")]
    public void The_model_is_not_held(string pipeline)
    {
        var info = new ProcessStartInfo("dotnet", [typeof(ExportScaleTests).Assembly.Location, pipeline]) { RedirectStandardOutput = true };
        using var process = Process.Start(info)!;
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.True(process.ExitCode == 0, output);
        Assert.InRange(long.Parse(output, CultureInfo.InvariantCulture), 1, Bound);
    }

    /// <summary>Exports by a pipeline and prints the most bytes that were alive meanwhile.</summary>
    internal static void Main(string[] arguments) => Console.Write(Growth(arguments[0]).ToString(CultureInfo.InvariantCulture));

    private static long Growth(string pipeline)
    {
        using var folder = new TemporaryFolder();
        var model = EvaluationGraph.Of(LlamaGraph.Build(Config, 1, 16));
        var live = new LiveBytes();
        var checkpoint = LlamaParameters.Of(Config).ToDictionary(p => p.Name, p => new Tensor(ElementType.BFloat16, p.Shape.Sizes,
            new ProbedBytes(2 * p.Shape.ElementCount!.Value, live)));
        PassManager.Run(model, [new HoldParameters(), .. pipeline.Length == 0 ? [] : Pipelines.Parse(pipeline)], new PassOptions { Checkpoint = checkpoint });
        live.Start();
        OnnxWriter.Write(model, folder["model.onnx"], externalData: true);
        Assert.True(new FileInfo(folder["model.onnx.data"]).Length > 30_000_000);
        return live.Growth;
    }

    private sealed class LiveBytes
    {
        private long _start, _pieces;

        public long Growth { get; private set; }

        public void Start() => _start = GC.GetTotalMemory(forceFullCollection: true);

        public void Look()
        {
            if (_pieces++ % 16 == 0)
                Growth = Math.Max(Growth, GC.GetTotalMemory(forceFullCollection: true) - _start);
        }
    }

    /// <summary>Values from -1 to 1, a mebibyte of which is held.</summary>
    private sealed class ProbedBytes(long size, LiveBytes live) : ITensorBytes
    {
        private static readonly byte[] Values = Make();

        public long SizeBytes => size;

        public void ReadChunks(ChunkReader chunk)
        {
            for (var at = 0L; at < size; at += Values.Length)
            {
                live.Look();
                if (!chunk(Values.AsSpan(0, (int)Math.Min(Values.Length, size - at))))
                    return;
            }
        }

        private static byte[] Make()
        {
            var bytes = new byte[1 << 20];
            FloatConversions.FromFloat(ElementType.BFloat16, [.. Enumerable.Range(0, bytes.Length / 2).Select(i => MathF.Sin(i * 0.7f))], bytes);
            return bytes;
        }
    }
}
