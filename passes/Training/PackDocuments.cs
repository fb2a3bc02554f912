using Halo.Analysis;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Passes.Training;

/// <summary>Lets a row of a forward graph hold several documents: a token sees those of its own alone, and places begin anew in each.</summary>
/// <remarks>
/// Adds inputs document_ids and position_ids, int64 (B, T), and gives them to every attention and rotary embedding. Where a row is one document at places
/// 0 to T - 1, values keep their bits. A graph that takes document_ids already is left. What mixes tokens, or adds something by their place, in any
/// other way is refused: a document would see the one before it. The first token of a document should have the label -100.
/// </remarks>
public sealed record PackDocuments() : IGraphPass
{
    private static readonly HashSet<string> Mixing =
        ["Softmax", "CumSum", "Conv", "ConvTranspose", "Attention", "GroupQueryAttention", "MultiHeadAttention", "RNN", "LSTM", "GRU", "Einsum", "Trilu"];

    private static readonly HashSet<string> ByElement = ["Add", "Sub", "Mul", "Div", "Where"];

    public string Name => "pack-documents";

    public ValueEffect Effect => new ValueEffect.Exact();

    public void Requires(Model model)
    {
        if (model.Graph.Outputs.FirstOrDefault(TrainingNames.IsGradient) is { } gradient)
            throw new PassException(Name, $"output '{gradient.Name}'", "a forward graph", "one with gradients", "Pack documents before the gradient is built.");
    }

    public PassResult Run(Model model, PassContext context)
    {
        var graph = model.Graph;
        if (graph.Inputs.Any(i => i.Name == TrainingNames.DocumentIds))
        {
            context.Skip("the graph", $"it takes '{TrainingNames.DocumentIds}'");
            return new PassResult(0);
        }
        var attentions = graph.Nodes.Where(n => n.Is(nameof(Attention), HaloDomain.Name)).ToList();
        if (graph.Inputs.FirstOrDefault(i => i.Name == TrainingNames.InputIds) is not { Shape: { Rank: 2, IsStatic: true } shape } tokens || attentions.Count == 0)
        {
            context.Skip("the graph", $"it has no attention of com.halo, or no '{TrainingNames.InputIds}' of fixed sizes");
            return new PassResult(0);
        }
        CheckTokensAreApart(graph, tokens);
        var positions = graph.Inputs.FirstOrDefault(i => i.Name == TrainingNames.PositionIds) ?? Integers(TrainingNames.PositionIds);
        var documents = Integers(TrainingNames.DocumentIds);
        var rotaries = graph.Nodes.Where(n => n.Is(nameof(RotaryEmbedding), HaloDomain.Name)).ToList();
        foreach (var rotary in rotaries)
        {
            context.Step(rotary, "take places from the input");
            if (!CountsFromItsRow(rotary, shape))
                continue;
            Give(rotary, 3, positions);
            rotary.Overload = RotaryEmbedding.Overload(hasPositions: true, rotary.Int("inverse", 0) == 1, rotary.Inputs[0]!.Type);
            HaloOperators.EnsureFunction(rotary);
        }
        foreach (var attention in attentions)
        {
            context.Step(attention, "see the token's document alone");
            Give(attention, 4, documents);
            attention.Overload = Attention.Overload(attention.Int("causal", 1) != 0, attention.Input(3) is not null, hasDocuments: true,
                attention.Int("window", 0) != 0, attention.Inputs[0]!.Type);
            HaloOperators.EnsureFunction(attention);
        }
        graph.RemoveUnusedInitializers();
        return new PassResult(rotaries.Count + attentions.Count);

        Value Integers(string name) => graph.AddInput(new Value(name, ElementType.Int64, shape));
    }

    /// <summary>True where token t is at place t; false where places come from position_ids.</summary>
    private bool CountsFromItsRow(Node rotary, Shape shape)
    {
        if (rotary.Input(3) is not { } positions)
            return true;
        if (positions.Constant is { } constant && constant.ToInt64s() is var places && places.Index().All(p => p.Item == p.Index % shape.Sizes[1]))
            return true;
        var read = Ancestors.Of(positions).SelectMany(n => n.Inputs).Append(positions).Where(v => v is { IsGraphInput: true }).Distinct().ToList();
        return read.Count == 1 && read[0]!.Name == TrainingNames.PositionIds ? false
            : throw Refused(rotary, $"places of tokens that are 0 to T - 1, or '{TrainingNames.PositionIds}'", $"'{positions.Name}'");
    }

    /// <summary>Refuses a graph in which a token learns of others by more than the attentions and rotary embeddings that are known.</summary>
    private void CheckTokensAreApart(Graph graph, Value tokens)
    {
        var rows = new[] { tokens.Shape!.Sizes[1], tokens.Shape.Sizes[0] * tokens.Shape.Sizes[1] };
        var byToken = new HashSet<Value> { tokens }; // what depends on tokens; nodes stand behind what they read
        foreach (var node in graph.Nodes)
        {
            var reads = Graph.ReadBy(node).ToList();
            if (node.Is("Gather") && node.Inputs[0] is { IsGraphInput: true } table && table.Type.IsFloat() && !byToken.Contains(node.Inputs[1]!))
                throw Refused(node, "tables that are read by tokens", $"'{table.Name}', which is read by place");
            if (!reads.Any(byToken.Contains))
                continue;
            byToken.UnionWith(node.Outputs);
            if (node.Domain == HaloDomain.Name)
                continue;
            if (Mixing.Contains(node.OpType) || (node.Is("MatMul") && node.Inputs.All(i => byToken.Contains(i!))))
                throw Refused(node, "attention that canonicalize knows", "another operator that mixes tokens");
            if (ByElement.Contains(node.OpType) && node.Output.Type.IsFloat()
                && reads.Find(v => v.Constant is not null && v.Shape is { Rank: >= 2 } s && rows.Contains(s[-2].Size ?? 0)) is { } fixedByPlace)
            {
                throw Refused(node, "rotary embeddings that canonicalize knows", $"'{fixedByPlace.Name}', which differs by place");
            }
        }
    }

    private PassException Refused(Node node, string expected, string found) =>
        new(Name, node, "forward", expected, found, "Leave packing out, or take the model from its Hugging Face folder; halo rewrite --report says what canonicalize left.");

    private static void Give(Node node, int index, Value value)
    {
        while (node.Inputs.Count <= index)
            node.AddInput(null);
        node.ReplaceInput(index, value);
    }
}
