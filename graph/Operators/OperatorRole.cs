using Halo.Ir;

namespace Halo.Operators;

/// <summary>How a view's elements are those of its first input.</summary>
public enum ViewKind
{
    /// <summary>The same bytes under other sizes.</summary>
    Relabels,

    /// <summary>The same elements in another order.</summary>
    Permutes,

    /// <summary>The same elements in the same order, in another type.</summary>
    Converts,

    /// <summary>Each element once or more.</summary>
    Repeats,

    /// <summary>Some of the elements.</summary>
    Cuts,
}

/// <summary>What an operator is to those who follow tensors through a graph.</summary>
public abstract record OperatorRole
{
    private OperatorRole()
    {
    }

    /// <summary>It computes.</summary>
    public static OperatorRole None { get; } = new Other();

    /// <summary>It computes.</summary>
    public sealed record Other : OperatorRole;

    /// <summary>Its first output has the elements of its first input.</summary>
    public sealed record View(ViewKind Kind) : OperatorRole
    {
        /// <summary>Every element is there once: the tensor is the same up to layout and type.</summary>
        public bool KeepsContent => Kind is ViewKind.Relabels or ViewKind.Permutes or ViewKind.Converts;

        /// <summary>Every element is there once, and where it was in row-major order.</summary>
        public bool KeepsOrder => Kind is ViewKind.Relabels or ViewKind.Converts;

        /// <summary>No byte changes, so that a runtime need not copy.</summary>
        public bool KeepsBytes => Kind is ViewKind.Relabels;
    }

    /// <summary>An orthonormal transformation of its first input, a matrix, along one axis.</summary>
    /// <param name="AxisAttribute">Says which, 0 or 1; 1 where it is left out.</param>
    public sealed record Rotation(string AxisAttribute) : OperatorRole
    {
        public int AxisOf(Node node) => (int)node.Int(AxisAttribute, 1);
    }

    /// <summary>Its first output is its first input in codes of 8 bits or fewer; a scale is another output.</summary>
    /// <param name="FormatAttribute">Names the number format.</param>
    public sealed record Codes(string FormatAttribute) : OperatorRole
    {
        /// <summary>What its first input goes through before it is rounded; null: nothing.</summary>
        public Rotation? RotatedBy { get; init; }

        public string FormatOf(Node node) => node.String(FormatAttribute, "");
    }

    /// <summary>Y = op(A) op(B), matrix products over the last two axes, transposed where the attributes transA and transB are 1.</summary>
    /// <param name="A">The input slot of A.</param>
    /// <param name="B">The input slot of B.</param>
    public sealed record Product(int A, int B) : OperatorRole
    {
        /// <summary>A and B are codes, each with a scale as an input of its own.</summary>
        public bool ReadsCodes { get; init; }

        /// <summary>False where attributes move batch axes or scale the result, so that it is no product of a linear layer.</summary>
        public bool IsPlain { get; init; } = true;
    }

    /// <summary>Its first output is its first input, given after the other inputs are there: it orders execution and computes nothing.</summary>
    public sealed record Ordering : OperatorRole;

    /// <summary>It combines tensors of several ranks, which must all run it: never merged, folded or run again.</summary>
    public sealed record Collective : OperatorRole;
}
