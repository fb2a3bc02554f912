using Halo.Ir;
using Halo.Memory;
using Halo.Operators;

namespace Halo.CustomOps;

/// <summary>What the kernels of the GPU provider do with memory; a test compares it with what the provider says of itself and with what it takes.</summary>
/// <param name="byCudnn">Attention of 16-bit types is cuDNN's.</param>
internal sealed class GpuKernelMemory(bool byCudnn) : IKernelMemory
{
    /// <summary>kProductWorkspaceBytes.</summary>
    public const long ProductBytes = 32L << 20;

    /// <summary>Sums of norms' weight gradients over at most so many pieces of the rows (rms_norm_grad.cu).</summary>
    private const long MostPieces = 512;

    /// <summary>Sorted places that one block of an embedding's gradient sums (embedding_grad.cu).</summary>
    private const long EmbeddingPiece = 32;

    /// <summary>Elements that a block rotates and rounds, in one order and in both, and maxima of as many blocks as there may be
    /// (hadamard_quantize_rows.cu); of an H100 or H200.</summary>
    private const long RotatedPiece = 1 << 15, BothPiece = 1 << 17, RotatedMaximaBytes = 4 << 10, Multiprocessors = 132;

    /// <summary>CudnnAttention::kWorkspaceBound.</summary>
    private const long ScoreBound = 1L << 30;

    /// <summary>kMostDim and kMostScoreBytes of check_attention_cudnn: heads with more channels, or more scores to a key/value head, are not cuDNN's.</summary>
    private const long MostDim = 256, MostScoreBytes = 4L << 30;

    private static readonly Dictionary<string, int[]> Overwrites = new(StringComparer.Ordinal);

    static GpuKernelMemory()
    {
        foreach (var op in (string[])["Neg", "Abs", "Sign", "Sqrt", "Reciprocal", "Exp", "Log", "Sigmoid", "Tanh", "Erf", "Relu", "Sin", "Cos", "Floor", "Ceil",
            "Round", "Not", "Pow", "Clip", "Swish", "QuickGelu", "ScatterElements", "ScatterND", "Softmax", "LogSoftmax"])
            Overwrites.Add(op, [0]);
        foreach (var op in (string[])["Add", "Sub", "Mul", "Div", "And", "Or", "Xor", "Mod"])
            Overwrites.Add(op, [0, 1]);
    }

    public bool IsView(Node node) => ViewNodes.Contain(node);

    public IReadOnlyList<int> MayOverwrite(Node node, int output) =>
        node.Is(nameof(SwiGlu), HaloDomain.Name) ? output == 0 ? [0, 1] : []
        : node.Is(nameof(SwiGluGrad), HaloDomain.Name) ? output switch { 0 => [1, 0], 1 => [2], 4 => [0], _ => [] }
        : output == 0 ? Overwrites.GetValueOrDefault(node.OpType) ?? [] : [];

    public bool IsOnHost(Node node) => node.IsStandard && node.OpType is "Shape" or "Size";

    public long WorkBytes(Node node) => node.OpType switch
    {
        "MatMul" or "Gemm" or "FusedMatMul" => ProductBytes,
        "ScaledMatMul" => ScaledProduct(node),
        "Attention" when node.Domain == HaloDomain.Name => IsByCudnn(node, node.Inputs[0]!, node.Inputs[1]!, node.Input(4)) ? Forward(node) : 0,
        "AttentionGrad" => IsByCudnn(node, node.Inputs[1]!, node.Inputs[2]!, node.Input(7)) ? Backward(node) : 4 * Elements(node.Inputs[5]!),
        "RmsNormGrad" => 4 * Math.Clamp(Rows(node.Inputs[1]!), 1, MostPieces) * Size(node.Inputs[1]!, -1),
        "CrossEntropy" => 8 * Rows(node.Inputs[0]!),
        "EmbeddingGrad" => Embedding(node),
        "LinearCrossEntropy" => Head(node),
        "Quantize" or "CrossEntropyGrad" => RunMemory.Alignment,
        "HadamardQuantize" => RotatedCodes(node),
        _ => 0,
    };

    /// <summary>scaled_mat_mul_workspace_cuda.</summary>
    private static long ScaledProduct(Node node)
    {
        var (a, b, transA, transB) = (node.Inputs[0]!, node.Inputs[2]!, node.Int("transA", 0) != 0, node.Int("transB", 0) != 0);
        var (m, k, n) = (Size(a, transA ? 1 : 0), Size(a, transA ? 0 : 1), Size(node.Output, 1));
        var (hasInt8, isInt8) = (a.Type == ElementType.Int8 || b.Type == ElementType.Int8, a.Type == ElementType.Int8 && b.Type == ElementType.Int8);
        var isDecoded = (hasInt8 && !isInt8) || (a.Type == ElementType.Float8E5M2 && b.Type == ElementType.Float8E5M2);
        var isWhole = isDecoded ? node.Output.Type == ElementType.Float
            : !isInt8 && m % 16 == 0 && n % 16 == 0 && node.Output.Type != ElementType.Float16;
        var sums = isWhole ? 0 : Aligned(4 * Padded(m) * Padded(n));
        return ProductBytes + sums + (isDecoded ? Aligned(2 * m * k) + Aligned(2 * k * n) : Packed(!transA, m, k) + Packed(transB, n, k));
    }

    /// <summary>linear_cross_entropy_workspace_cuda: the logits of a chunk of rows, a loss for each row.</summary>
    private static long Head(Node node)
    {
        var (x, w) = (node.Inputs[0]!, node.Inputs[1]!);
        var chunk = Math.Max(1, Math.Min(node.Int("rows", 1), Size(x, 0)));
        return Aligned(x.Type.SizeBytes(chunk * Size(w, 0))) + Aligned(8 * Size(x, 0)) + 256 + ProductBytes;
    }

    /// <summary>hadamard_quantize_workspace_cuda: maxima of blocks, or one and the rotated tensor.</summary>
    private static long RotatedCodes(Node node)
    {
        var (x, isBoth) = (node.Inputs[0]!, node.Outputs.Count == 3);
        var pieces = (Elements(x) + (isBoth ? BothPiece : RotatedPiece) - 1) / (isBoth ? BothPiece : RotatedPiece);
        var isFilled = pieces * 4 >= (pieces + Multiprocessors - 1) / Multiprocessors * Multiprocessors * 3;
        return isFilled && HadamardQuantize.IsOneKernel(node, node.String("format", ""), isBoth) ? RotatedMaximaBytes
            : RunMemory.Alignment + Aligned(x.Type.SizeBytes(Elements(x)));
    }

    private static long Embedding(Node node)
    {
        var (count, columns) = (Size(node.Inputs[0]!, 0), Size(node.Inputs[0]!, 1));
        return (2 * Aligned(8 * count)) + ((count + EmbeddingPiece - 1) / EmbeddingPiece * 2 * columns * 4);
    }

    /// <summary>check_attention_cudnn, of Q (B, H, T, D), K (B, G, S, D) in the node's layout and documents where there are some.</summary>
    private bool IsByCudnn(Node node, Value q, Value k, Value? documents)
    {
        var (_, heads, queries, dim) = Heads(node, q);
        var (_, groups, keys, _) = Heads(node, k);
        var window = node.Int("window", 0);
        return byCudnn && node.Output.Type is (ElementType.BFloat16 or ElementType.Float16) && documents is null && (window == 0 || window >= keys)
            && dim % 8 == 0 && dim <= MostDim && 2 * heads / Math.Max(1, groups) * queries * keys <= MostScoreBytes
            && (HeadLayouts.Of(node) == HeadLayout.Bhsd || Math.Max(heads * queries, groups * keys) * dim <= int.MaxValue);
    }

    /// <summary>(B, H, T, D).</summary>
    private static (long Batch, long Heads, long Tokens, long Dim) Heads(Node node, Value x) =>
        HeadLayouts.ByHead(x.Shape, HeadLayouts.Of(node)) is { IsStatic: true, Rank: 4 } shape
            ? (shape.Sizes[0], shape.Sizes[1], shape.Sizes[2], shape.Sizes[3]) : default;

    /// <summary>attention_cudnn: lengths of rows, sums that nobody asked for.</summary>
    private static long Forward(Node node) => (node.Input(3) is null ? 0 : Aligned(12 * Size(node.Inputs[0]!, 0)))
        + (node.Outputs.Count > 1 ? 0 : Aligned(4 * Elements(node.Output) / Math.Max(1, Size(node.Output, -1))));

    /// <summary>attention_grad_cudnn: lengths, delta, and gradients of scores of as many key/value heads as 1 GiB holds.</summary>
    private static long Backward(Node node)
    {
        var (batch, heads, queries, dim) = Heads(node, node.Inputs[1]!);
        var (_, groups, keys, _) = Heads(node, node.Inputs[2]!);
        var shared = heads / Math.Max(1, groups);
        var together = ScoreBound / Math.Max(1, 2 * shared * keys * (queries + (2 * dim)));
        var pairs = together >= groups ? groups * Divisor(batch, together / Math.Max(1, groups)) : Divisor(groups, together);
        return Aligned(12 * batch) + Aligned(4 * batch * heads * queries) + (pairs * 2 * shared * keys * (queries + (2 * dim)));
    }

    /// <summary>The largest divisor of a number that is at most another.</summary>
    private static long Divisor(long number, long most)
    {
        var divisor = Math.Clamp(most, 1, Math.Max(1, number));
        while (number % divisor != 0)
            divisor--;
        return divisor;
    }

    /// <summary>Of an operand of an 8-bit product, which is taken as it lies where its contracted axis is the inner one and no size wants padding.</summary>
    private static long Packed(bool isInner, long rows, long k) => isInner && rows % 16 == 0 && k % 16 == 0 ? 0 : Aligned(Padded(rows) * Padded(k));

    private static long Padded(long size) => (size + 15) / 16 * 16;

    private static long Aligned(long bytes) => (bytes + 255) / 256 * 256;

    private static long Rows(Value value) => Elements(value) / Math.Max(1, Size(value, -1));

    private static long Elements(Value value) => value.Shape?.ElementCount ?? 0;

    private static long Size(Value value, int axis) => value.Shape?[axis].Size ?? 0;
}
