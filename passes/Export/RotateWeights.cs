using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Export.Weights;
using Halo.Passes.Infra;

namespace Halo.Passes.Export;

/// <summary>Turns the residual stream and the heads' values by Hadamard matrices folded into the weights, to spread outliers before rounding.</summary>
/// <remarks>
/// R1: the stream x (R, C) becomes x Q, Q = diag(signs) H. A norm without gain commutes with Q, so what writes x is turned and what reads it turns back:
/// embedding E Q; q, k, v, gate, up and head W Q; o and down Q^T W, biases b Q. R2: values become v H_D head by head, H_D undone in the columns of o. Logits
/// stay what they were up to rounding, and so does what is cached but for R2. With <paramref name="Online"/> the input of each down turns by a
/// HadamardTransform node, undone in its columns. Q^T W needs all of W: the largest of these is held in float32 while it is written. [QuaRot, section 4]
/// Where a size has no Hadamard matrix, H is block-diagonal (Hadamard.Blocks).
/// </remarks>
/// <param name="Seed">Of the signs.</param>
/// <param name="Online">Turn the input of each down projection in the graph.</param>
public sealed record RotateWeights(int Seed = 0, bool Online = false) : IGraphPass
{
    /// <summary>Marks a graph that is turned: nothing else would tell.</summary>
    private const string Mark = "halo.rotate-weights";

    /// <summary>Float32 weights and activations rounded in another basis.</summary>
    private const double Bound = 1e-4;

    public string Name => "rotate-weights";

    public ValueEffect Effect => new ValueEffect.Reassociating(Bound);

    public PassResult Run(Model model, PassContext context)
    {
        var graph = model.Graph;
        if (graph.Metadata.TryGetValue(Mark, out var done))
        {
            context.Skip("the graph", $"its weights are turned already, {done}");
            return new PassResult(0);
        }
        if (!graph.Nodes.Any(NormNodes.Is))
        {
            context.Skip("the graph", "it has no norm, and so no residual stream");
            return new PassResult(0);
        }
        var head = HeldLinear.Head(graph) is { } found && HeldLinear.Is(found) ? found : throw new PassException(Name, "the graph",
            "a head: a Gemm, transB = 1, whose weight the graph holds", "none", "Run canonicalize and hold-parameters first.");
        var stream = ResidualStream.Of(head, Name);
        var blocks = Hadamard.Blocks(stream.Width);
        context.Step(head, $"turn {stream.Width} channels by blocks {string.Join(" + ", blocks)}");
        TurnStream(stream, new HadamardRotation(blocks, HadamardRotation.Signs(Seed, stream.Width)));
        var attentions = TurnHeads(graph, context);
        if (Online)
            TurnInputs(model, stream.Writers.Except(attentions), context);
        graph.Metadata[Mark] = $"seed {Seed}" + (Online ? ", online" : "");
        return new PassResult(stream.Embeddings.Count + stream.Writers.Count + stream.Readers.Count);
    }

    private void TurnStream(ResidualStream stream, HadamardRotation rotation)
    {
        foreach (var reader in stream.Readers)
            TurnColumns(new Use(reader, 1), stream.Width, rotation);
        foreach (var embedding in stream.Embeddings)
            TurnColumns(new Use(embedding, 0), stream.Width, rotation);
        foreach (var writer in stream.Writers)
            TurnOutputs(writer, stream.Width, rotation);
    }

    /// <summary>R2 of each attention; the output projections found.</summary>
    private List<Node> TurnHeads(Graph graph, PassContext context)
    {
        var outputs = new List<Node>();
        foreach (var attention in graph.Nodes.Where(AttentionPair.IsAttention).ToList())
        {
            if (AttentionPair.Of(attention, out var reason) is not { } pair)
            {
                context.Skip(attention, reason);
                continue;
            }
            var rotation = new HadamardRotation(Hadamard.Blocks(pair.HeadSize));
            TurnOutputs(pair.V, pair.HeadSize, rotation);
            TurnColumns(new Use(pair.O, 1), pair.HeadSize, rotation);
            outputs.Add(pair.O);
        }
        return outputs;
    }

    private void TurnInputs(Model model, IEnumerable<Node> linears, PassContext context)
    {
        foreach (var linear in linears)
        {
            var size = linear.Inputs[1]!.Initializer!.Sizes[1];
            var blocks = Hadamard.Blocks(size);
            context.Step(linear, $"turn its input by blocks {string.Join(" + ", blocks)}");
            var turned = GraphBuilder.Before(linear).HadamardTransform(linear.Inputs[0]!, 1, blocks, inverse: false, "rotate");
            linear.ReplaceInput(0, turned);
            TurnColumns(new Use(linear, 1), size, new HadamardRotation(blocks));
        }
    }

    /// <summary>W (N, K) becomes W (I (x) Q): what reads turned columns, in groups of <paramref name="size"/>.</summary>
    private void TurnColumns(Use weight, long size, HadamardRotation rotation) => WeightEdit.Set(weight, weight.Node.Name + ".weight",
        (name, tensor) => UnitBytes.Make(Name, name, tensor, size, group => rotation.Row(group.Span)));

    /// <summary>W (N, K) becomes (I (x) Q)^T W, and b becomes b (I (x) Q): what writes turned columns.</summary>
    private void TurnOutputs(Node linear, long size, HadamardRotation rotation)
    {
        WeightEdit.Set(new Use(linear, 1), linear.Name + ".weight", (name, tensor) =>
            UnitBytes.Make(Name, name, tensor, size * tensor.Sizes[1], rows => rotation.Columns(rows, (int)tensor.Sizes[1])));
        if (linear.Input(2) is not null)
            TurnColumns(new Use(linear, 2), size, rotation);
    }
}
