using Halo.Ir;

namespace Halo.Passes.Export.Weights;

/// <summary>Gives readers of an initializer other values.</summary>
internal static class WeightEdit
{
    /// <summary>
    /// One input slot reads <paramref name="change"/> of what it read. The initializer keeps its name where nobody else reads it; else the slot gets one
    /// of its own.
    /// </summary>
    /// <param name="use">The slot.</param>
    /// <param name="copyName">What an initializer of its own is called, if the name is free.</param>
    /// <param name="change">Makes the tensor, from its name and what was there.</param>
    public static void Set(Use use, string copyName, Func<string, Tensor, Tensor> change)
    {
        var (graph, old) = (use.Node.Graph!, use.Node.Inputs[use.Index]!);
        var tensor = old.Initializer!;
        var isAlone = old.Uses.Count == 1 && !old.IsGraphOutput;
        var name = isAlone ? old.Name : graph.FreeName(copyName);
        if (isAlone)
            graph.Rename(old, graph.FreeName(name + Infra.Replacement.Suffix));
        var held = graph.AddInitializer(name, change(name, tensor));
        if (isAlone)
        {
            foreach (var (key, value) in old.Metadata)
                held.Metadata.TryAdd(key, value);
        }
        use.Node.ReplaceInput(use.Index, held);
        if (isAlone)
            graph.RemoveInitializer(old);
    }
}
