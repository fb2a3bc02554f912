using Halo.Ir;
using Halo.Models.Llama;
using Halo.Passes.Export.Weights;
using Halo.Passes.Infra;
using Halo.Runner.Sessions;
using Halo.Runner.Sources;

namespace Halo.Runner.Export;

/// <summary>The inference graph of a model: the forward graph that was trained, projected by passes.</summary>
internal static class InferenceProjection
{
    /// <summary>Weights are read when the model is written or loaded, so <paramref name="source"/> must stay open until then.</summary>
    /// <param name="source">What to project.</param>
    /// <param name="weights">How weights are stored.</param>
    /// <param name="rotate">Fold rotations into the weights before they are rounded (QuaRot).</param>
    /// <param name="moments">Second moments of the inputs of linear layers, with which rounding makes up for its errors; null rounds each weight alone.</param>
    /// <param name="activations">What fp8, int8 and int4 weights are multiplied by; null is float32, but for the head of int4.</param>
    /// <param name="beside">An adapter that stays beside the base; null merges what the source has.</param>
    /// <exception cref="HaloException">The graph has something that no inference graph is made of.</exception>
    public static Model Of(
        InferenceSource source, WeightType weights = WeightType.Fp32, bool rotate = false, IReadOnlyDictionary<string, Tensor>? moments = null,
        ActivationType? activations = null, AdapterBeside? beside = null)
    {
        var model = source.Forward();
        var options = new PassOptions
        {
            Evaluator = new OnnxEvaluator(),
            Checkpoint = beside is null ? source.Tensors : SourceGraph.TensorsOf(source.Weights),
            RotaryTables = positions => RotaryTables.Of(source.Config, positions),
            Windows = source.Config.Windows,
            InputMoments = moments,
        };
        var passes = Pipelines.Export(source.Config.CachedPositions, ActivationTypes.PrecisionOf(weights, activations), Format(weights), rotate,
            ActivationTypes.FormatOf(weights, activations), beside?.Pass);
        Ledger.Append(model, PassManager.Run(model, passes, options), ConfigSha256(source));
        if (beside is not null)
            AdapterBeside.Open(model.Graph);
        return model;
    }

    private static WeightFormat? Format(WeightType weights) => weights switch
    {
        WeightType.Int4 => WeightFormat.Int4,
        WeightType.Int8 => WeightFormat.Int8,
        WeightType.Fp8 => WeightFormat.Fp8,
        _ => null,
    };

    /// <summary>Of the config.json that the model goes by.</summary>
    private static string ConfigSha256(InferenceSource source) => GraphRewriter.Sha256(Path.Combine(source.Companions, "config.json"));
}
