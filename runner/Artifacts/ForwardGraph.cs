using Halo.Passes.Canonical;
using Halo.Passes.Canonical.Precision;
using Halo.Passes.Infra;
using Halo.Runner.Training;

namespace Halo.Runner.Artifacts;

/// <summary>The forward part of what a config trains, before any rewrite and in float32: loss and logits, parameters as inputs.</summary>
public static class ForwardGraph
{
    /// <summary>The graph of the config's model, at the config's sizes where it has none of its own.</summary>
    /// <exception cref="HaloException">There is no graph, or none with a loss.</exception>
    public static SourceGraph Of(TrainConfig config)
    {
        var source = TrainingGraphSource.Folder(config) is { } folder
            ? new SourceGraph(folder.Build(config.MicroBatchSize, config.SequenceLength), null, GraphRewriter.Sha256(folder.ConfigPath))
            : TrainingGraphSource.Of(config with { Precision = FloatPrecision.Fp32 });
        var model = EvaluationGraph.Of(source.Model);
        var run = PassManager.Run(model, [.. Pipelines.Parse(Pipelines.Cleanup), new ConvertPrecision(FloatPrecision.Fp32)],
            new PassOptions { Evaluator = new Sessions.OnnxEvaluator() });
        Ledger.Append(model, run, source.InputSha256);
        return source with { Model = model };
    }
}
