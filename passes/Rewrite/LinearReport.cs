using System.Text.Json.Nodes;
using Halo.Analysis;
using Halo.CustomOps;
using Halo.Ir;

namespace Halo.Passes.Rewrite;

/// <summary>What a graph's linear layers are now, read off the graph itself: the <c>linears</c> and <c>skipped</c> of a report.</summary>
public static class LinearReport
{
    private const string LineKey = "halo.linears", RecordsKey = "halo.linears.records";

    /// <summary>Notes both forms in a graph's metadata: of a graph from which the weights are to be taken away, they are given from there.</summary>
    internal static void Keep(Graph graph, string why = "frozen weights are held as codes")
    {
        if (graph.Metadata.ContainsKey(LineKey))
            return;
        var (line, records) = (Line(graph), Of(graph).ToJsonString());
        (graph.Metadata[LineKey], graph.Metadata[RecordsKey]) = ($"{line}; {why}", records);
    }

    /// <summary>One record a layer: weight, layer, frozen, F, E, G (node names), rotations and formats by product.</summary>
    public static JsonObject Of(Graph graph)
    {
        if (graph.Metadata.TryGetValue(RecordsKey, out var kept))
            return JsonNode.Parse(kept)!.AsObject();
        var (layers, skipped) = LinearGemms.In(graph);
        return new JsonObject
        {
            ["linears"] = new JsonArray([.. layers.Select(Layer), .. Heads(graph).Select(Head)]),
            ["skipped"] = new JsonArray([
                .. skipped.Select(s => new JsonObject { ["node"] = s.Node.Name, ["reason"] = s.Reason }),
                .. layers.Where(l => l.IsHead).Select(l => l.Gemms[0].Node).Concat(Heads(graph))
                    .Select(n => new JsonObject { ["node"] = n.Name, ["reason"] = "the head stays in full precision" }),
            ]),
        };
    }

    /// <summary>A line for people: how many layers and products, and how many read 8-bit codes.</summary>
    public static string Line(Graph graph)
    {
        if (graph.Metadata.TryGetValue(LineKey, out var kept))
            return kept;
        var (all, skipped) = LinearGemms.In(graph);
        var layers = all.Where(l => !AdapterNames.IsFactor(l.Weight.Name)).ToList();
        var adapters = graph.Inputs.Count(i => AdapterNames.IsTrained(i.Name));
        var gemms = layers.Where(l => !l.IsHead).SelectMany(l => l.Gemms).ToList();
        var rotations = graph.Nodes.Count(n => n.Is(nameof(HadamardTransform), HaloDomain.Name) || n.Is(nameof(HadamardQuantize), HaloDomain.Name));
        var quantizations = graph.Nodes.Count(n => n.Is(nameof(Quantize), HaloDomain.Name) || n.Is(nameof(HadamardQuantize), HaloDomain.Name));
        return $"{layers.Count(l => !l.IsHead)} linear layers with {gemms.Count} products, {gemms.Count(g => g.IsQuantized)} of them in 8 bits; "
            + $"{rotations} rotations, {quantizations} quantizations; {layers.Count(l => l.IsHead) + Heads(graph).Count()} head and {skipped.Count} other products in full precision"
            + (adapters > 0 ? $"; {adapters} parameters of adapters" : "");
    }

    /// <summary>Heads that are one node with the loss and both gradients.</summary>
    private static IEnumerable<Node> Heads(Graph graph) => graph.Nodes.Where(n => n.Is(nameof(LinearCrossEntropy), HaloDomain.Name));

    private static JsonObject Head(Node node)
    {
        var record = new JsonObject { ["weight"] = node.Inputs[1]!.Name, ["layer"] = node.Name, ["frozen"] = false, ["head"] = true };
        foreach (var role in Enum.GetValues<GemmRole>())
            record[role.ToString()] = new JsonArray(JsonValue.Create(node.Name));
        (record["rotations"], record["formats"]) = (new JsonObject(), new JsonObject());
        return record;
    }

    private static JsonObject Layer(LinearLayer layer)
    {
        var record = new JsonObject { ["weight"] = layer.Weight.Name, ["layer"] = layer.Name, ["frozen"] = layer.IsFrozen, ["head"] = layer.IsHead };
        var (rotations, formats) = (new JsonObject(), new JsonObject());
        foreach (var role in Enum.GetValues<GemmRole>())
        {
            var gemms = layer.Of(role).ToList();
            record[role.ToString()] = new JsonArray([.. gemms.Select(g => JsonValue.Create(g.Node.Name))]);
            if (gemms.Count == 0)
                continue;
            rotations[role.ToString()] = string.Join('+', Enum.GetValues<GemmAxis>().Where(gemms[0].IsRotated));
            formats[role.ToString()] = gemms[0].A.Format is { } left ? $"{left},{gemms[0].B.Format}" : "none";
        }
        record["rotations"] = rotations;
        record["formats"] = formats;
        return record;
    }
}
