using Halo.Ir;

namespace Halo.Operators;

/// <summary>Sets types and shapes of a node's outputs from its inputs.</summary>
public delegate void InferenceRule(NodeInference inference);

/// <summary>The sizes of a node's first output where some of the inputs' are free; null where the operator does with them what is not understood.</summary>
public delegate IReadOnlyList<FreeSize>? FreeSizeRule(FreeOperands operands);

/// <summary>Multiplications and additions of a node's matrix products; null where sizes are not known.</summary>
public delegate double? OperationCount(Node node);

/// <summary>What an operator computes in, in a graph of 16-bit floats.</summary>
public enum PrecisionClass
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

/// <summary>Kinds of operators that are cheap to compute again, in the order in which messages list them.</summary>
public enum RecomputeKind
{
    Norm,
    Activation,
    Rotary,
    Attention,
    Cast,
    Quantize,
    Elementwise,
    View,
}

/// <summary>All that analyses and passes know of one operator.</summary>
/// <param name="Domain">"" for ONNX's own.</param>
/// <param name="OpType">Such as <c>MatMul</c>.</param>
public sealed record OperatorFacts(string Domain, string OpType)
{
    /// <summary>Of an operator that no catalogue lists: it does something, and nothing is known of it.</summary>
    public static OperatorFacts Unknown { get; } = new("", "");

    /// <summary>Inputs that are there in every model that was read; rules read them without looking.</summary>
    public int RequiredInputs { get; init; }

    /// <summary>Outputs that are there in every model that was read.</summary>
    public int RequiredOutputs { get; init; }

    /// <summary>Null where types and shapes of the outputs stay as they are declared.</summary>
    public InferenceRule? Shapes { get; init; }

    /// <summary>Null where the operator is not expected in a forward graph of free batch and sequence.</summary>
    public FreeSizeRule? FreeSizes { get; init; }

    public OperatorRole Role { get; init; } = OperatorRole.None;

    /// <summary>Null where it is not stated: ONNX's own operators follow their operands then, others take the types they were written for alone.</summary>
    public PrecisionClass? Precision { get; init; }

    /// <summary>Null for what is not cheap, or not worth it.</summary>
    public RecomputeKind? Recompute { get; init; }

    /// <summary>Null where it has no matrix product, or is one by its <see cref="Role"/>.</summary>
    public OperationCount? Operations { get; init; }

    /// <summary>Two runs on the same inputs may give different results.</summary>
    public bool IsRandom { get; init; }

    /// <summary>Its gradient is zero wherever there is one: steps, positions, comparisons, sizes. Rounding is none of them (passes/DECISIONS.md).</summary>
    public bool EndsGradient { get; init; }

    /// <summary>Whether an input carries shapes, axes and the like, which shape inference must be able to read.</summary>
    public Func<int, bool> IsShapeInput { get; init; } = _ => false;
}
