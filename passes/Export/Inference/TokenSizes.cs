using Halo.Analysis;
using Halo.Building;
using Halo.Ir;

namespace Halo.Passes.Export.Inference;

/// <summary>B and T of a graph of free sizes, as its nodes compute them from input_ids (B, T); each is made once.</summary>
internal sealed class TokenSizes
{
    /// <summary>What the axes of input_ids are called.</summary>
    public const string Batch = "batch_size", Sequence = "sequence_length";

    private readonly Dictionary<string, Value> _values = new(StringComparer.Ordinal);

    private readonly Value _ids;

    private readonly GraphBuilder _build;

    public TokenSizes(Graph graph)
    {
        _ids = graph.Inputs.First(i => i.Name == TrainingNames.InputIds);
        _build = GraphBuilder.AfterDefinition(graph, _ids, TrainingNames.InputIds);
    }

    /// <summary>The sizes for a Reshape, each a number (-1: what is left, 0: as it is) or one of <see cref="Batch"/> and <see cref="Sequence"/>.</summary>
    public Value Target(params ReadOnlySpan<Dim> sizes)
    {
        var key = string.Join(',', sizes.ToArray());
        if (_values.TryGetValue(key, out var known))
            return known;
        var parts = new List<Value>();
        for (var i = 0; i < sizes.Length;)
        {
            if (sizes[i].Symbol is { } symbol)
            {
                parts.Add(Axis(symbol));
                i++;
                continue;
            }
            var numbers = new List<long>();
            for (; i < sizes.Length && sizes[i].Size is { } size; i++)
                numbers.Add(size);
            parts.Add(Numbers([.. numbers]));
        }
        return _values[key] = parts.Count == 1 ? parts[0] : _build.Op("target", "Concat", [.. parts], Ir.Attribute.Of("axis", 0L));
    }

    private Value Axis(string symbol)
    {
        if (_values.TryGetValue(symbol, out var known))
            return known;
        var axis = symbol == Batch ? 0L : 1L;
        return _values[symbol] = _build.Op(symbol, "Shape", [_ids], Ir.Attribute.Of("start", axis), Ir.Attribute.Of("end", axis + 1));
    }

    private Value Numbers(long[] numbers)
    {
        var key = string.Join(',', numbers);
        return _values.TryGetValue(key, out var known) ? known : _values[key] = _build.Constant("sizes", Tensor.Int64s(numbers));
    }
}
