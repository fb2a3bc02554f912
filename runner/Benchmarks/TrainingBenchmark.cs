using System.Diagnostics;
using Halo.Analysis;
using Halo.Ir;
using Halo.Models.Optimizer;
using Halo.Passes.Infra;
using Halo.Passes.Rewrite;
using Halo.Runner.Data;
using Halo.Runner.Sessions;
using Halo.Runner.Sources;
using Halo.Runner.Training.Engine;
using Halo.Serialization;

namespace Halo.Runner.Benchmarks;

/// <summary>One way to run a training graph.</summary>
/// <param name="Format">Formats of operands, <c>none</c> for float32.</param>
/// <param name="Scheme">Rotations.</param>
/// <param name="Operators">What runs the operators of com.halo.</param>
/// <param name="IsRederived">The gradient is built anew (rederive-gradient); else the graph is as it was exported.</param>
internal sealed record Variant(string Format, string Scheme, OperatorKernels Operators, bool IsRederived = true)
{
    public override string ToString() => (Format == "none" ? "fp32" : $"{Format} {Scheme}") + (IsRederived ? "" : ", as exported")
        + (Operators == OperatorKernels.Functions ? ", function bodies" : "");
}

/// <summary>What one variant took.</summary>
/// <param name="Variant">Which.</param>
/// <param name="Seconds">Of one update: forward, backward, AdamW; the median over all rounds.</param>
/// <param name="Profile">Of the training graph alone; empty on a GPU, where nodes take no time of the host.</param>
internal sealed record VariantTime(Variant Variant, double Seconds, StepProfile Profile);

/// <summary>Times whole updates of a training graph, as it is and rewritten, in turns, so that a busy moment of the machine hits all alike.</summary>
/// <remarks>Weights and tokens are made up: they do not change what is computed, only its result.</remarks>
internal sealed class TrainingBenchmark(string graphPath, int threads, int rounds, Device device)
{
    private const int WarmUp = 2;

    private static readonly AdamWSettings Optimizer = new(0.9, 0.999, 1e-8, 0, null);

    /// <summary>Tokens of one update, padding included.</summary>
    public int TokensPerStep { get; private set; }

    /// <exception cref="HaloException">The graph cannot be rewritten or run.</exception>
    public IReadOnlyList<VariantTime> Run(IReadOnlyList<Variant> variants)
    {
        var folder = Directory.CreateTempSubdirectory("halo-bench-").FullName;
        var runs = new List<(Variant Variant, GraphSession Session, TrainingEngine Engine)>();
        try
        {
            var batch = default(MicroBatch);
            foreach (var variant in variants)
            {
                var rewritten = GraphRewriter.Rewrite(graphPath, Pipelines.Rewrite(HaloScheme.Parse(variant.Scheme), GemmFormats.Parse(variant.Format),
                    rederive: variant.IsRederived, forGpu: device.Kind == GraphDevice.Cuda));
                var path = Path.Combine(folder, $"{runs.Count}.onnx");
                OnnxWriter.Write(rewritten.Model, path);
                var @interface = TrainingInterface.Of(rewritten.Model.Graph, graphPath, device.Kind);
                var inputs = VerificationInputs.For(rewritten.Model.Graph);
                batch ??= BatchOf(inputs, @interface);
                runs.Add(Prepare(variant, path, @interface, inputs));
            }
            var times = runs.Select(_ => new List<double>()).ToList();
            for (var round = -WarmUp; round < rounds; round++)
            {
                for (var i = 0; i < runs.Count; i++)
                {
                    var start = Stopwatch.GetTimestamp();
                    runs[i].Engine.Step([batch!], round + WarmUp + 1, learningRate: 1e-6);
                    if (round >= 0)
                        times[i].Add(Stopwatch.GetElapsedTime(start).TotalSeconds);
                }
            }
            var profiles = runs.Select(run => device.IsGpu ? new StepProfile([]) : StepProfile.Read(run.Session.EndProfiling(), WarmUp)).ToList();
            return [.. runs.Select((run, i) => new VariantTime(run.Variant, times[i].Order().ElementAt(rounds / 2), profiles[i]))];
        }
        finally
        {
            runs.ForEach(run => run.Engine.Dispose());
            Directory.Delete(folder, recursive: true);
        }
    }

    private (Variant Variant, GraphSession Session, TrainingEngine Engine) Prepare(
        Variant variant, string path, TrainingInterface @interface, IReadOnlyDictionary<string, Tensor> inputs)
    {
        var settings = new SessionSettings { Device = device, Replays = true, Threads = threads, Operators = variant.Operators };
        var session = GraphSession.OfBatch(path, device.IsGpu ? settings : settings with { ProfilePrefix = path }, @interface.BatchNames);
        var engine = new TrainingEngine(@interface, session, OnnxWriter.ToBytes(AdamWGraph.Build(@interface.Trained, Optimizer)), accumulates: false, threads);
        foreach (var (name, _) in @interface.Parameters)
            engine.Parameters.Write(name, inputs[name].ToArray<float>());
        return (variant, session, engine);
    }

    private MicroBatch BatchOf(IReadOnlyDictionary<string, Tensor> inputs, TrainingInterface @interface)
    {
        TokensPerStep = @interface.Rows * @interface.Sequence;
        var ids = inputs[TrainingNames.InputIds].ToArray<long>();
        var rows = ids.Chunk(@interface.Sequence).Select(row => new TokenizedRow(Array.ConvertAll(row, id => (int)id), [.. row.Select(_ => (byte)1)]));
        return MicroBatch.Of([.. rows], @interface.Layout(padId: 0));
    }
}
