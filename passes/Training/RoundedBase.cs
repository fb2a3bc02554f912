using Halo.Analysis;
using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Infra;
using Halo.Passes.Rewrite;

namespace Halo.Passes.Training;

/// <summary>Lets a rewritten graph with adapters read its frozen linear weights as 4-bit codes, each decoded in front of what reads it.</summary>
/// <remarks>
/// W (n, k) becomes three held inputs, codes, scales and zero points (<see cref="DequantizeInt4"/>: 0.6 bytes a weight), which name W. Rotations and 8-bit
/// codes are made of the decoded weight in each step, as it is: <see cref="Recompute"/> makes both again for the backward part, so that no decoded weight
/// lives longer than its layer. Embedding, head and norms stay as they are.
/// </remarks>
internal static class RoundedBase
{
    private const string Key = "halo.int4", Codes = "codes", Scales = "scales", Zeros = "zeros";

    /// <summary>The parts of a weight's codes among the inputs of a graph, by the weight's name.</summary>
    public static IReadOnlyList<(string Weight, long Columns, Value Codes, Value Scales, Value Zeros)> In(Graph graph) =>
    [
        .. graph.Inputs.Where(i => i.Metadata.ContainsKey(Key)).GroupBy(i => i.Metadata[Key], StringComparer.Ordinal).Select(g =>
        {
            Value Part(string name) => graph.Values[$"{g.Key}/int4/{name}"];
            return (g.Key, Part(Codes).Uses[0].Node.Int("columns", 0), Part(Codes), Part(Scales), Part(Zeros));
        }),
    ];

    /// <summary>Rounds the frozen weights of linear layers.</summary>
    /// <param name="model">A rewritten graph with adapters; is changed.</param>
    /// <exception cref="PassException">There is no adapter, or no frozen linear layer.</exception>
    public static void Apply(Model model)
    {
        var graph = model.Graph;
        var layers = LinearGemms.In(graph).Layers.Where(l => !l.IsHead && !AdapterNames.IsTrained(l.Weight.Name) && l.Weight is { IsGraphInput: true }).ToList();
        if (!graph.Inputs.Any(i => AdapterNames.IsTrained(i.Name)) || layers.Count == 0)
        {
            throw new PassException("round-base", $"graph '{graph.Name}'", "linear layers that are frozen under an adapter", "none",
                "Leave adapter_base out, or train an adapter.");
        }
        LinearReport.Keep(graph, "frozen weights are held in 4 bits"); // layers are found by their weights
        foreach (var weight in layers.Select(l => l.Weight).Distinct().ToList())
            Round(graph, weight);
    }

    private static void Round(Graph graph, Value weight)
    {
        if (weight.Shape is not { Rank: 2, IsStatic: true } shape)
            throw new PassException("round-base", $"'{weight.Name}'", "a matrix of fixed sizes", $"{weight.Shape}", "Export the graph at fixed sizes.");
        var (rows, columns) = (shape.Sizes[0], shape.Sizes[1]);
        var blocks = DequantizeInt4.BlocksOf(columns);
        var codes = Input(Codes, ElementType.UInt8, rows, blocks * DequantizeInt4.BlockSize / 2);
        var (scales, zeros) = (Input(Scales, ElementType.Float16, rows, blocks), Input(Zeros, ElementType.UInt8, rows, blocks));
        var decoded = new Dictionary<ElementType, Value>();
        foreach (var use in weight.Uses.ToList())
        {
            if (use.Node.Is("Cast") && use.Node.Output is { IsGraphOutput: false, Type: ElementType.Float or ElementType.BFloat16 or ElementType.Float16 } cast)
            {
                cast.ReplaceUsesWith(Decoded(cast.Type));
                graph.Remove(use.Node);
            }
            else
                use.Node.ReplaceInput(use.Index, Decoded(weight.Type));
        }
        graph.RemoveInput(weight);

        Value Input(string name, ElementType type, params long[] sizes)
        {
            var input = graph.AddInput(new Value($"{weight.Name}/int4/{name}", type, Shape.Of(sizes)));
            (input.Metadata[FrozenBase.HeldKey], input.Metadata[Key]) = ("true", weight.Name);
            return input;
        }

        // In front of the first node that reads the weight, of whatever layer.
        Value Decoded(ElementType type)
        {
            if (decoded.TryGetValue(type, out var value))
                return value;
            var first = graph.Nodes.First(n => weight.Uses.Any(u => u.Node == n));
            return decoded[type] = GraphBuilder.Before(first, weight.Name).DequantizeInt4(codes, scales, zeros, columns, type, $"int4/{type.Name()}");
        }
    }
}
