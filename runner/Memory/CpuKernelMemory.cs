using Halo.CustomOps;
using Halo.Ir;
using Halo.Memory;

namespace Halo.Runner.Memory;

/// <summary>What ONNX Runtime's kernels on the CPU, and those of the native library, do with memory.</summary>
internal sealed class CpuKernelMemory : IKernelMemory
{
    /// <summary>kGrain: elements of a task.</summary>
    private const long Grain = 1 << 14;

    /// <summary>kMaxPieces: sums of a norm's weight gradient.</summary>
    private const long MostPieces = 64;

    /// <summary>kScoreBound: scores at a time.</summary>
    private const long ScoreBound = 16L << 20;

    private static readonly HashSet<string> OverwriteFirst = ["Neg", "Abs", "Sqrt", "Reciprocal", "Exp", "Log", "Sigmoid", "Tanh", "Erf", "Relu", "Floor", "Ceil",
        "Not", "Clip", "Cast", "ScatterElements", "ScatterND"];

    private static readonly HashSet<string> OverwriteEither = ["Add", "Sub", "Mul", "Div"];

    public bool IsView(Node node) => ViewNodes.Contain(node);

    public IReadOnlyList<int> MayOverwrite(Node node, int output) => !node.IsStandard || output > 0 ? []
        : OverwriteEither.Contains(node.OpType) ? [0, 1] : OverwriteFirst.Contains(node.OpType) ? [0] : [];

    public bool IsOnHost(Node node) => false;

    public long WorkBytes(Node node) => node.Domain != HaloDomain.Name ? 0 : node.OpType switch
    {
        "ScaledMatMul" => 4 * (Elements(node.Inputs[0]!) + Elements(node.Inputs[2]!) + (node.Output.Type == ElementType.Float ? 0 : Elements(node.Output))),
        "Attention" => node.Input(4) is null ? Scores(node, 0, 1) : OfDocuments(node, 0, 1, 2),
        "AttentionGrad" => node.Input(7) is null ? Scores(node, 1, 2) : OfDocuments(node, 1, 2, 4),
        "CrossEntropy" => 8 * Size(node.Inputs[0]!, 0),
        "Quantize" => node.Input(1) is null ? 4 * ((Elements(node.Inputs[0]!) + Grain - 1) / Grain) : 0,
        "HadamardQuantize" => node.Inputs[0]!.Type.SizeBytes(Elements(node.Inputs[0]!)),
        "RmsNormGrad" => 4 * Pieces(node.Inputs[1]!) * Size(node.Inputs[1]!, -1),
        _ => 0,
    };

    /// <summary>attention_work, attention_grad_work of float32: scores of as many pairs of batch row and key/value head as a bound holds.</summary>
    /// <param name="node">The attention, or its gradient.</param>
    /// <param name="query">Which input is Q; K is the next one.</param>
    /// <param name="buffers">Scores of a pair.</param>
    private static long Scores(Node node, int query, long buffers)
    {
        var x = Attended.Of(node, query);
        var pair = buffers * x.Rows * x.Keys;
        return 4 * (pair + Copies(x, buffers)) * Math.Clamp(ScoreBound / Math.Max(1, pair), 1, Math.Max(1, x.Batch * x.Groups));
    }

    /// <summary>The same where rows have documents: scores of one batch row, and copies of what a document reads and writes.</summary>
    private static long OfDocuments(Node node, int query, long buffers, long copies)
    {
        var x = Attended.Of(node, query);
        var pair = buffers * x.Rows * x.Keys;
        return 4 * (Math.Max(pair, Math.Min(ScoreBound, x.Groups * pair)) + (x.Groups * Copies(x, buffers))
            + (copies * (x.Heads + x.Groups) * x.Keys * x.Dim) + (x.Heads * x.Keys));
    }

    /// <summary>Of a pair's heads where these lie side by side; a gradient has one more tensor at a time.</summary>
    private static long Copies(Attended x, long buffers) =>
        x.Layout == HeadLayout.Bhsd ? 0 : ((2 * (x.Rows + x.Keys)) + (buffers > 1 ? Math.Max(x.Rows, x.Keys) : 0)) * x.Dim;

    /// <summary>Sizes of an attention; Rows are the queries that read one key/value head.</summary>
    private readonly record struct Attended(HeadLayout Layout, long Batch, long Heads, long Groups, long Rows, long Keys, long Dim)
    {
        public static Attended Of(Node node, int query)
        {
            var layout = HeadLayouts.Of(node);
            if (HeadLayouts.ByHead(node.Inputs[query]!.Shape, layout) is not { Rank: 4 } q
                || HeadLayouts.ByHead(node.Inputs[query + 1]!.Shape, layout) is not { Rank: 4 } k)
                return default;
            long Size(Shape x, int axis) => x[axis].Size ?? 0;
            return new(layout, Size(q, 0), Size(q, 1), Size(k, 1), Size(q, 1) / Math.Max(1, Size(k, 1)) * Size(q, 2), Size(k, 2), Size(q, 3));
        }
    }

    /// <summary>rms_norm_grad_partials.</summary>
    private static long Pieces(Value x)
    {
        var columns = Math.Max(1, Size(x, -1));
        var rows = Elements(x) / columns;
        var piece = Math.Max(Math.Max(1, Grain / columns), (rows + MostPieces - 1) / MostPieces);
        return (rows + piece - 1) / piece;
    }

    private static long Elements(Value value) => value.Shape?.ElementCount ?? 0;

    private static long Size(Value value, int axis) => value.Shape?[axis].Size ?? 0;
}
