using Halo.Ir;

namespace Halo.Passes.Canonical.Precision;

/// <summary>What an operator computes in, in a graph of 16-bit floats.</summary>
internal enum OperatorPrecision
{
    /// <summary>16 bits: products, and fused operators that accumulate in float32 themselves.</summary>
    Narrow,

    /// <summary>Float32: statistics, exponentials, angles, sums, losses.</summary>
    Wide,

    /// <summary>The widest of what it reads.</summary>
    Follows,

    /// <summary>Says itself what type it gives, or reads no float as such.</summary>
    Boundary,
}

/// <summary>The table of <see cref="OperatorPrecision"/>; what it does not list follows its operands.</summary>
internal static class OperatorPrecisions
{
    private static readonly HashSet<string> Narrow = new(StringComparer.Ordinal)
    {
        "MatMul", "Gemm", "Einsum", "Attention", "RotaryEmbedding", "RMSNormalization", "LayerNormalization",
        "SimplifiedLayerNormalization", "GroupQueryAttention",
    };

    private static readonly HashSet<string> Wide = new(StringComparer.Ordinal)
    {
        "Pow", "Sqrt", "Reciprocal", "Exp", "Log", "Cos", "Sin", "Erf", "CumSum", "Softmax", "LogSoftmax", "SoftmaxCrossEntropyLoss",
        "NegativeLogLikelihoodLoss", "ReduceMean", "ReduceSum", "ReduceSumSquare", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceProd",
    };

    private static readonly HashSet<string> Boundary = new(StringComparer.Ordinal) { "Cast", "CastLike", "Shape", "Size", "Constant", "ConstantOfShape" };

    /// <summary>Operators of other domains that are listed here all the same: they take 16 bits and need no function.</summary>
    public static bool IsListedContribution(Node node) => node.Is("GroupQueryAttention", "com.microsoft");

    public static OperatorPrecision Of(Node node) => Narrow.Contains(node.OpType) ? OperatorPrecision.Narrow
        : Wide.Contains(node.OpType) ? OperatorPrecision.Wide
        : Boundary.Contains(node.OpType) ? OperatorPrecision.Boundary
        : OperatorPrecision.Follows;
}
