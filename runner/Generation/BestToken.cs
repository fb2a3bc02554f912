using Halo.Analysis;
using Halo.Building;
using Halo.Ir;
using Microsoft.ML.OnnxRuntime;

namespace Halo.Runner.Generation;

/// <summary>
/// The most likely token as outputs of an inference graph: where logits lie on a GPU, a number a row is copied to the host in place of a vocabulary.
/// </summary>
internal static class BestToken
{
    /// <summary>int64 (B, S): the first of the largest logits.</summary>
    public const string Id = "best_token";

    /// <summary>float32 (B, S): the largest logit, NaN where there is one.</summary>
    public const string Logit = "best_logit";

    /// <summary>Adds both to the session's copy of a graph.</summary>
    public static void AddTo(Model model)
    {
        var logits = model.Graph.Outputs.First(o => o.Name == TrainingNames.Logits);
        var build = GraphBuilder.After(logits.Producer!, "");
        var last = logits.Shape!.Rank - 1;
        var axes = build.Constant("best_token/axes", Tensor.Int64s(last));
        Add(Id, build.Op(Id, "ArgMax", [logits], Ir.Attribute.Of("axis", (long)last), Ir.Attribute.Of("keepdims", 0L)));
        Add(Logit, build.Op(Logit, "ReduceMax", [logits, axes], Ir.Attribute.Of("keepdims", 0L)));

        void Add(string name, Value value)
        {
            model.Graph.AddOutput(value);
            if (value.Name != name)
                throw new HaloException("generate", $"'{name}'", "a name that the graph does not use", "a value of that name", "Export the model again.");
        }
    }

    /// <summary>Whether a session's graph has them.</summary>
    public static bool IsIn(IReadOnlyDictionary<string, NodeMetadata> outputs) => outputs.ContainsKey(Id) && outputs.ContainsKey(Logit);
}
