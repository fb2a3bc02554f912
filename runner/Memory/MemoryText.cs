using System.Text.Json.Nodes;

namespace Halo.Runner.Memory;

/// <summary>A <see cref="MemoryPlan"/> for readers.</summary>
internal static class MemoryText
{
    /// <summary>Parts of a graph's peak that are listed by themselves.</summary>
    private const int Listed = 9;

    /// <summary>One line: what is needed, and what there is.</summary>
    /// <param name="plan">What is needed.</param>
    /// <param name="budget">Bytes that there are; null where nobody knows.</param>
    /// <param name="owner">What has them, such as <c>the GPU</c>.</param>
    public static string Line(MemoryPlan plan, long? budget, string owner) =>
        $"memory: needs {MemorySize.Text(plan.PeakBytes)}{(budget is { } bytes ? $", {owner} has {MemorySize.Text(bytes)}" : "")}"
        + $"; {MemorySize.Text(plan.HeldBytes)} held ({string.Join(", ", plan.Held.Where(p => p.SizeBytes > 0).Select(p => $"{p.Name} {MemorySize.Text(p.SizeBytes)}"))}), "
        + $"{MemorySize.Text(plan.Largest.PeakBytes)} while the {plan.Largest.Name} graph runs"
        + (plan.OnHost.Count > 0 ? $"; {MemorySize.Text(plan.OnHost.Sum(p => p.SizeBytes))} of the host ({string.Join(", ", plan.OnHost.Select(p => p.Name))})" : "");

    /// <summary>What is held, then each graph with what its peak is made of, a line each.</summary>
    public static IEnumerable<string> Table(MemoryPlan plan)
    {
        foreach (var part in plan.Held.Where(p => p.SizeBytes > 0))
            yield return Row(part.Name, part.SizeBytes);
        foreach (var graph in plan.Graphs.OrderByDescending(g => g.PeakBytes))
        {
            if (graph != plan.Largest)
            {
                yield return Row($"({graph.Name} graph, in the same memory)", graph.PeakBytes);
                continue;
            }
            yield return Row($"{graph.Name} graph, at most at '{graph.PeakNode?.Name}' ({graph.PeakNode?.OpType})", graph.PeakBytes);
            foreach (var part in graph.Parts.Take(Listed))
                yield return Row($"  {part.Name}", part.SizeBytes);
            var rest = graph.PeakBytes - graph.Parts.Take(Listed).Sum(p => p.SizeBytes);
            if (rest > 0)
                yield return Row("  others, and gaps between blocks", rest);
        }
        yield return Row("in all", plan.PeakBytes);
        if (plan.LentBytes > 0)
            yield return Row("(in the memory of gradients until they are written: codes)", plan.LentBytes);
        foreach (var part in plan.OnHost)
            yield return Row($"(of the host, page-locked: {part.Name})", part.SizeBytes);

        static string Row(string name, long bytes) => $"{MemorySize.Text(bytes),11}  {name}";
    }

    /// <summary>Bytes by class.</summary>
    public static JsonObject Json(MemoryPlan plan) => new()
    {
        ["peak_bytes"] = plan.PeakBytes,
        ["held_bytes"] = plan.HeldBytes,
        ["held"] = Parts(plan.Held),
        ["on_host"] = Parts(plan.OnHost),
        ["lent_bytes"] = plan.LentBytes,
        ["graphs"] = new JsonArray([.. plan.Graphs.Select(g => new JsonObject
        {
            ["name"] = g.Name,
            ["peak_bytes"] = g.PeakBytes,
            ["live_bytes"] = g.Run.LiveBytes,
            ["packed_bytes"] = g.Run.PackedBytes,
            ["constant_bytes"] = g.ConstantBytes,
            ["peak_node"] = g.PeakNode?.Name,
            ["parts"] = Parts(g.Parts),
        })]),
    };

    private static JsonObject Parts(IEnumerable<MemoryPart> parts) => new(parts.Select(p => KeyValuePair.Create(p.Name, (JsonNode?)p.SizeBytes)));
}
