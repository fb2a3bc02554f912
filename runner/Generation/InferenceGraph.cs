using Halo.Analysis;
using Halo.CustomOps;
using Halo.Ir;

namespace Halo.Runner.Generation;

/// <summary>What an inference graph tells of its model; sizes as <see cref="InferenceInterface"/> names them.</summary>
/// <param name="Vocabulary">V.</param>
/// <param name="Layers">Layers, each with a cache.</param>
/// <param name="Heads">Heads of queries.</param>
/// <param name="KeyValueHeads">H.</param>
/// <param name="HeadSize">D.</param>
/// <param name="Positions">Rows of the rotary tables: the most tokens of a row.</param>
/// <param name="CacheType">Of keys and values.</param>
/// <param name="UsesHaloOperators">Whether nodes of com.halo are left, which the native library runs faster than their bodies.</param>
internal sealed record InferenceGraph(
    int Vocabulary, int Layers, int Heads, int KeyValueHeads, int HeadSize, int Positions, ElementType CacheType, bool UsesHaloOperators)
{
    private const string Attention = "GroupQueryAttention";
    private const string Reader = "open-inference-folder";
    private const int PastKey = 3, CosCache = 7;

    /// <summary>Reads the facts, and checks that inputs, outputs and attention are those of an inference graph.</summary>
    /// <param name="model">The graph.</param>
    /// <param name="path">How messages call it.</param>
    /// <exception cref="HaloException">They are not.</exception>
    public static InferenceGraph Of(Model model, string path)
    {
        var graph = model.Graph;
        var layers = graph.Inputs.Count(i => InferenceInterface.LayerOf(i.Name) is not null) / 2;
        CheckNames(path, "inputs", graph.Inputs.Where(i => i.Initializer is null),
            [TrainingNames.InputIds, TrainingNames.AttentionMask, .. InferenceInterface.PastNames(layers)]);
        CheckNames(path, "outputs", graph.Outputs, [TrainingNames.Logits, .. InferenceInterface.PresentNames(layers)]);
        Integers(path, graph.Values[TrainingNames.InputIds]);
        Integers(path, graph.Values[TrainingNames.AttentionMask]);
        var logits = graph.Values[TrainingNames.Logits];
        if (logits is not { Type: ElementType.Float, Shape.Rank: 3 } || logits.Shape[2].Size is not { } vocabulary)
            throw Refused(path, logits, "float32 [batch_size, sequence_length, vocabulary]");
        var attentions = graph.Nodes.Where(n => n is { Domain: "com.microsoft", OpType: Attention }).ToList();
        var first = Cache(path, graph.Values[InferenceInterface.PastNames(1).First()]);
        var (heads, positions) = (HeadsOf(path, attentions, layers), PositionsOf(path, attentions));
        foreach (var name in InferenceInterface.PastNames(layers).Concat(InferenceInterface.PresentNames(layers)))
        {
            if (Cache(path, graph.Values[name]) != first)
                throw Refused(path, graph.Values[name], $"{first.Type.Name()} [batch_size, {first.Heads}, tokens, {first.Size}] as layer 0 has");
        }
        return new InferenceGraph((int)vocabulary, layers, heads, (int)first.Heads, (int)first.Size, positions, first.Type,
            graph.Nodes.Any(n => n.Domain == HaloDomain.Name));
    }

    private static void CheckNames(string path, string what, IEnumerable<Value> found, IReadOnlyList<string> expected)
    {
        var names = found.Select(v => v.Name).ToHashSet();
        var missing = expected.Where(name => !names.Contains(name)).ToList();
        var others = names.Except(expected).ToList();
        if (expected.Count < 3 || missing.Count > 0 || others.Count > 0)
        {
            throw new HaloException(Reader, path, $"the {what} of an inference graph: {expected[0]}, caches of each layer and so on",
                missing.Count > 0 ? $"no {string.Join(", ", missing.Take(4))}" : others.Count > 0 ? $"also {string.Join(", ", others.Take(4))}" : "no caches",
                "Give a graph that halo export wrote.");
        }
    }

    private static void Integers(string path, Value input)
    {
        if (input is not { Type: ElementType.Int64, Shape.Rank: 2 })
            throw Refused(path, input, "int64 of two axes");
    }

    private static (ElementType Type, long Heads, long Size) Cache(string path, Value cache) =>
        cache.Type.IsFloat() && cache.Shape is { Rank: 4 } shape && shape[1].Size is { } heads && shape[3].Size is { } size ? (cache.Type, heads, size)
            : throw Refused(path, cache, "floats [batch_size, heads, tokens, head size]");

    private static int HeadsOf(string path, List<Node> attentions, int layers)
    {
        var found = attentions.Select(n => n.Int("num_heads", 0)).Distinct().ToList();
        var cached = attentions.Count(n => InferenceInterface.LayerOf(n.Input(PastKey)?.Name ?? "") is not null);
        return (attentions.Count, cached, found.Count) == (layers, layers, 1) ? (int)found[0]
            : throw new HaloException(Reader, path, $"{layers} nodes {Attention}, one for each cache, with the same number of heads",
                $"{attentions.Count}, {cached} of them with a cache", "Give a graph that halo export wrote.");
    }

    private static int PositionsOf(string path, List<Node> attentions)
    {
        var rotated = attentions.FindAll(n => n.Int("do_rotary", 0) != 0);
        var rows = rotated.ConvertAll(n => n.Input(CosCache)?.Shape is { Rank: 2 } shape ? shape[0].Size : null);
        return rows.Count > 0 && rows.TrueForAll(r => r is not null) ? (int)rows.Min()!.Value
            : throw new HaloException(Reader, path, $"rotary tables at every {Attention} that rotates, and one that does",
                rows.Count == 0 ? "none that does" : "none at some", "Give a graph that halo export wrote.");
    }

    private static HaloException Refused(string path, Value value, string expected) => new(Reader, $"{path}: '{value.Name}'", expected,
        $"{value.Type.Name()} {value.Shape?.ToString() ?? "of unknown shape"}", "Give a graph that halo export wrote.");
}
