using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Passes.Fusion;

/// <summary>The head's product, the loss and its gradient, and the two products behind it become one node, whose logits exist in chunks of rows.</summary>
/// <remarks>
/// logits = Gemm(X, W^T); CrossEntropy(logits, labels); dLogits = CrossEntropyGrad(..); dX = dLogits W; dW = dLogits^T X become LinearCrossEntropy(X, W,
/// labels, dLoss). Of 128k classes the logits of a batch are gigabytes, twice with their gradient, and are read three times over; a chunk's are at most
/// <see cref="LogitsBytes"/>. A dW in 16 bits that is cast to float32 alone is summed in float32. A graph that gives logits, or trains one of the factors
/// alone by a weight's gradient, stays as it is. A frozen W has no dW, and chunks cost nothing. Of a fused node another size changes the chunk. For graphs that run on a GPU: a CPU's time goes into the products.
/// </remarks>
/// <param name="LogitsBytes">The most that the logits of a chunk take; null: 2 GiB, under a frozen W 256 MiB.</param>
public sealed record FuseLoss(long? LogitsBytes = null) : IGraphPass
{
    private const long TrainedBytes = 1L << 31, FrozenBytes = 1L << 28;

    /// <summary>dW is added chunk by chunk, and not rounded to 16 bits where it is read in float32.</summary>
    private const double Bound = 1.0 / 256;

    /// <summary>Rows of a chunk are a multiple of so many, which tiles of products have.</summary>
    private const long Tile = 128;

    public string Name => "fuse-loss";

    public ValueEffect Effect => new ValueEffect.Reassociating(Bound);

    public PassResult Run(Model model, PassContext context) =>
        new(model.Graph.Nodes.Where(n => n.Is(nameof(CrossEntropy), HaloDomain.Name)).ToList().Count(node => Fuse(model.Graph, node, context))
            + model.Graph.Nodes.Where(n => n.Is(nameof(LinearCrossEntropy), HaloDomain.Name)).Count(node => Chunk(node, context)));

    /// <summary>The plain product and loss in place of each fused one, of a graph without its gradient.</summary>
    public static void Undo(Model model)
    {
        foreach (var node in model.Graph.Nodes.Where(n => n.Is(nameof(LinearCrossEntropy), HaloDomain.Name)).ToList())
        {
            Replacement.OfNode(model.Graph, node, _ =>
            {
                var build = GraphBuilder.Before(node, "");
                var logits = build.Op(node.Name + "/logits", "Gemm", [node.Inputs[0], node.Inputs[1]], Attribute.Of("transB", 1L));
                return build.CrossEntropy(logits, node.Inputs[2]!, node.Name + Replacement.Suffix, node.Int("ignoreIndex", -100)).Loss;
            });
        }
    }

    /// <summary>Gives a node that there is already chunks of this size.</summary>
    private bool Chunk(Node node, PassContext context)
    {
        if (node.Inputs[0]!.Shape is not { IsStatic: true } rows || node.Inputs[1]!.Shape is not { IsStatic: true } weights
            || ChunkOf(node.Inputs[1]!.Type, rows, weights, isFrozen: node.Outputs.Count == 2) is var chunk && chunk == node.Int("rows", 1))
            return false;
        context.Step(node, $"logits by {chunk} rows");
        node.Attributes["rows"] = Attribute.Of("rows", chunk);
        return true;
    }

    private long ChunkOf(ElementType type, Shape rows, Shape weights, bool isFrozen) =>
        Math.Clamp((LogitsBytes ?? (isFrozen ? FrozenBytes : TrainedBytes)) / type.SizeBytes(weights.Sizes[0]) / Tile * Tile, Tile, Math.Max(Tile, rows.Sizes[0]));

    private bool Fuse(Graph graph, Node loss, PassContext context)
    {
        var (logits, sums) = (loss.Inputs[0]!, loss.Outputs[1]);
        if (logits.IsGraphOutput || logits.Producer is not { } product || !IsProduct(product, transA: false, transB: true)
            || product.Inputs[0]!.Shape is not { IsStatic: true } rows || product.Inputs[1]!.Shape is not { IsStatic: true } weights)
            return Skip("logits that are no product of fixed sizes, or an output");
        var (x, w) = (product.Inputs[0]!, product.Inputs[1]!);
        if (logits.Uses.Count != 2 || sums.IsGraphOutput || sums.Uses is not [{ Node: { } gradient }] || !gradient.Is(nameof(CrossEntropyGrad), HaloDomain.Name)
            || gradient.Inputs[1] != logits || gradient.Inputs[2] != loss.Inputs[1] || gradient.Inputs[3] != sums
            || gradient.Int("ignoreIndex", -100) != loss.Int("ignoreIndex", -100))
            return Skip("logits that others read than the loss and its gradient");
        if (gradient.Inputs[0]!.Producer is not null)
            return Skip("a gradient of the loss that is computed");
        var readers = gradient.Output.IsGraphOutput ? [] : gradient.Output.Uses.Select(u => u.Node).ToList();
        if (readers.SingleOrDefault(n => IsProduct(n, false, false) && n.Inputs[0] == gradient.Output && n.Inputs[1] == w) is not { } error
            || readers.Find(n => n != error) is var weight && readers.Count > 2
            || (weight is not null && !(IsProduct(weight, true, false) && weight.Inputs[0] == gradient.Output && weight.Inputs[1] == x)))
            return Skip("a gradient of the logits that is not multiplied by both factors alone, or by a frozen weight");

        var rounding = weight?.Output is { IsGraphOutput: false, Uses: [{ Node: { } only }] } && only.Is("Cast") && only.Output.Type == ElementType.Float
            ? only : null;
        var chunk = ChunkOf(w.Type, rows, weights, isFrozen: weight is null);
        context.Step(loss, $"logits by {chunk} rows");
        var build = GraphBuilder.Before(loss, "");
        var (name, ignored) = ($"{loss.Name}/head", loss.Int("ignoreIndex", -100));
        Value fusedLoss, dX;
        if (weight is null)
            (fusedLoss, dX) = build.LinearCrossEntropy(x, w, loss.Inputs[1]!, gradient.Inputs[0]!, chunk, name, ignored);
        else
        {
            (fusedLoss, dX, var dW) = build.LinearCrossEntropy(x, w, loss.Inputs[1]!, gradient.Inputs[0]!, chunk, (rounding ?? weight).Output.Type, name, ignored);
            Replacement.OfNode(graph, rounding ?? weight, _ => dW);
            if (rounding is not null)
                graph.Remove(weight);
        }
        Replacement.OfNode(graph, error, _ => dX);
        graph.Remove(gradient);
        Replacement.OfNode(graph, loss, _ => fusedLoss);
        graph.Remove(product);
        return true;

        bool Skip(string why)
        {
            context.Skip(loss, why);
            return false;
        }
    }

    /// <summary>Whether the node is op(A) op(B) and nothing more.</summary>
    private static bool IsProduct(Node node, bool transA, bool transB) => node.Is("MatMul") ? !transA && !transB && node.Inputs[1]!.Shape is { Rank: 2 }
        : node.Is("Gemm") && node.Inputs.Count == 2 && node.Int("transA", 0) == (transA ? 1 : 0) && node.Int("transB", 0) == (transB ? 1 : 0)
            && node.Float("alpha", 1) == 1;
}
