using Halo.Ir;

namespace Halo.Passes.Infra;

/// <summary>Replaced values hand on their names and metadata.</summary>
internal static class Replacement
{
    /// <summary>Ends the name of a replacement until the name of what it replaces is free.</summary>
    public const string Suffix = "/replacement";

    /// <summary>Removes a node; for each output that somebody needs stands what <paramref name="make"/> makes.</summary>
    public static void OfNode(Graph graph, Node node, Func<Value, Value> make)
    {
        var heirs = new List<(Value Heir, string Name)>();
        foreach (var old in node.Outputs.Where(o => o.Uses.Count > 0 || o.IsGraphOutput).ToList())
        {
            var name = old.Name;
            var heir = make(old);
            HandOn(old, heir);
            if (old.IsGraphOutput)
                graph.ReplaceOutput(old, heir);
            else
                heirs.Add((heir, name));
        }
        graph.Remove(node);
        foreach (var (heir, name) in heirs)
            TakeName(graph, heir, name);
    }

    public static void OfInitializer(Graph graph, Value old, Value heir)
    {
        HandOn(old, heir);
        graph.RemoveInitializer(old);
        TakeName(graph, heir, old.Name);
    }

    private static void HandOn(Value old, Value heir)
    {
        foreach (var (key, value) in old.Metadata)
            heir.Metadata.TryAdd(key, value);
        old.ReplaceUsesWith(heir);
    }

    /// <summary>A replacement shared by several values keeps the name of the first.</summary>
    private static void TakeName(Graph graph, Value heir, string name)
    {
        if (heir.Name == name + Suffix)
            graph.Rename(heir, name);
    }
}
