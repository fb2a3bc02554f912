using Halo.Analysis;
using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Passes.Export.Inference;

/// <summary>Where a causal language model's logits are in its graph.</summary>
internal static class Logits
{
    /// <summary>The output of that name, or the only float output of shape (B, T, V).</summary>
    /// <exception cref="PassException">There is none, or several.</exception>
    public static Value OutputOf(Graph graph, string pass)
    {
        var outputs = graph.Outputs.Where(o => o.Type.IsFloat() && o.Shape is { Rank: 3 }).ToList();
        var named = outputs.Where(o => o.Name == TrainingNames.Logits).ToList();
        var found = named.Count > 0 ? named : outputs;
        return found.Count == 1 ? found[0] : throw new PassException(pass, $"graph '{graph.Name}'",
            $"a float output '{TrainingNames.Logits}' of shape (B, T, V), or only one output like that",
            graph.Outputs.Count == 0 ? "no output" : string.Join(", ", graph.Outputs), "Export a causal language model, or give its output that name.");
    }

    /// <summary>What the loss is taken of: the product of the head, (B T, V) or (B, T, V); null where no linear layer leads to the loss.</summary>
    public static Value? ProductOf(Graph graph)
    {
        return LinearGemms.In(graph).Layers.Where(l => l.IsHead).SelectMany(l => l.Of(GemmRole.F)).FirstOrDefault()?.Output;
    }

    /// <summary>Gives a value that name; another that has it gets another.</summary>
    public static void Rename(Graph graph, Value logits)
    {
        if (logits.Name != TrainingNames.Logits && graph.TryGetValue(TrainingNames.Logits, out var taken))
            graph.Rename(taken, graph.FreeName(TrainingNames.Logits + "/inner"));
        graph.Rename(logits, TrainingNames.Logits);
    }
}
