using Halo.Analysis;
using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Operators;

namespace Halo.Passes.Rewrite;

/// <summary>A product of a linear layer as one 2-D node with transpose flags, whose operands and output a pass can replace.</summary>
/// <remarks>
/// Making it is exact up to the order of summation: Transposes become flags, leading axes become rows, a bias becomes an Add behind, a
/// batched G with its sum over the batch becomes one product over all tokens.
/// </remarks>
internal sealed class CanonicalGemm
{
    private readonly LinearGemm _gemm;
    private readonly string _prefix;

    private CanonicalGemm(LinearGemm gemm, Node node, string prefix) => (_gemm, _prefix, Node) = (gemm, prefix, node);

    /// <summary>The Gemm (float) or ScaledMatMul (8 bits).</summary>
    public Node Node { get; private set; }

    public Value A => Node.Inputs[Slots.A]!;

    public Value B => Node.Inputs[Slots.B]!;

    private OperatorRole.Product Slots => (OperatorRole.Product)Node.Facts.Role;

    private char LetterOfA => _gemm.Role == GemmRole.F ? 'x' : 'e';

    private char LetterOfB => _gemm.Role == GemmRole.G ? 'x' : 'w';

    /// <summary>Rewrites the product's node if it is not in this form yet. Names extend <c>LAYER/ROLE</c>.</summary>
    /// <remarks>Only where <see cref="WhyNot"/> has nothing against it.</remarks>
    public static CanonicalGemm Make(LinearLayer layer, LinearGemm gemm)
    {
        var prefix = $"{layer.Name}/{gemm.Role}";
        gemm = Current(gemm);
        return new CanonicalGemm(gemm, IsCanonical(gemm) ? gemm.Node : Rewrite(gemm, prefix), prefix);
    }

    /// <summary>Where one product reads another, as of two factors of a weight, rewriting the other has put a new value in its place.</summary>
    private static LinearGemm Current(LinearGemm gemm)
    {
        static bool IsGone(GemmOperand operand) => operand.Matrix.Producer is { Graph: null };
        if ((!IsGone(gemm.A) && !IsGone(gemm.B)) || OperandTrace.Operands(gemm.Node) is not (var a, var b))
            return gemm;
        return gemm.IsFlipped ? gemm with { A = b with { IsTransposed = true }, B = a with { IsTransposed = false } } : gemm with { A = a, B = b };
    }

    /// <summary>Why the product cannot be brought to this form; null where it can.</summary>
    public static string? WhyNot(LinearGemm gemm) => IsCanonical(gemm) ? null
        : new[] { gemm.A.Matrix, gemm.B.Matrix }.FirstOrDefault(x => x.Shape is not { Rank: > 0 } shape || (shape.Rank != 2 && !shape[-1].IsKnown)) is { } open
            ? $"the columns of '{open.Name}' {open.Shape} are not known" : null;

    /// <summary>Rotates the tensors that have this axis, and undoes it on the output if the output has it.</summary>
    public void Rotate(GemmAxis axis, IReadOnlyList<long> blocks)
    {
        var name = $"rotate_{axis.ToString().ToLowerInvariant()}";
        if (_gemm.AxisOfA(axis) is { } a)
            Node.ReplaceInput(Slots.A, RotateOnce(A, a, blocks, $"{name}_{LetterOfA}"));
        if (_gemm.AxisOfB(axis) is { } b)
            Node.ReplaceInput(Slots.B, RotateOnce(B, b, blocks, $"{name}_{LetterOfB}"));
        if (axis == GemmAxis.K)
            return; // cancels inside the product
        var product = Node.Output;
        var undone = GraphBuilder.After(Node, _prefix).HadamardTransform(product, axis == GemmAxis.M ? 0 : 1, blocks, inverse: true, $"un{name}");
        Hand(product, undone);
    }

    /// <summary>Replaces the Gemm by a ScaledMatMul of the operands' codes.</summary>
    public void Quantize(NumberFormat left, NumberFormat right)
    {
        var build = GraphBuilder.Before(Node, _prefix);
        var (a, scaleA) = QuantizeOnce(build, A, left, $"quantize_{LetterOfA}");
        var (b, scaleB) = QuantizeOnce(build, B, right, $"quantize_{LetterOfB}");
        var product = build.ScaledMatMul(a, scaleA, b, scaleB, Node.Int("transA", 0) != 0, Node.Int("transB", 0) != 0, "scaled_matmul");
        var old = Node;
        Hand(old.Output, product.Type == old.Output.Type ? product : build.Op("cast", "Cast", [product], Attribute.Of("to", (long)old.Output.Type)));
        old.Graph!.Remove(old);
        Node = product.Producer!;
    }

    /// <summary>A tensor is rotated along an axis once; every product that wants it reads the same node.</summary>
    private Value RotateOnce(Value x, int axis, IReadOnlyList<long> blocks, string name)
    {
        var overload = HadamardTransform.Overload(axis, blocks, inverse: false, x.Type);
        var present = x.Uses.Select(u => u.Node).FirstOrDefault(n => n.Is(nameof(HadamardTransform), HaloDomain.Name) && n.Overload == overload);
        return present?.Output ?? GraphBuilder.Before(Node, _prefix).HadamardTransform(x, axis, blocks, inverse: false, name);
    }

    private (Value Codes, Value Scale) QuantizeOnce(GraphBuilder build, Value x, NumberFormat format, string name)
    {
        var overload = CustomOps.Quantize.Overload(format, x.Type);
        var present = x.Uses.Select(u => u.Node).FirstOrDefault(n => n.Is(nameof(CustomOps.Quantize), HaloDomain.Name) && n.Overload == overload);
        return present is not null ? (present.Outputs[0], present.Outputs[1]) : build.Quantize(x, format, name);
    }

    private static bool IsCanonical(LinearGemm gemm) => gemm.Node.Is(nameof(ScaledMatMul), HaloDomain.Name)
        || (gemm.Node.Is("Gemm") && gemm.Node.Input(2) is null && !gemm.IsFlipped && gemm.Output == gemm.Node.Output
            && gemm.Node.Inputs[0] == gemm.A.Matrix && gemm.Node.Inputs[1] == gemm.B.Matrix);

    private static Node Rewrite(LinearGemm gemm, string prefix)
    {
        var (old, sum) = (gemm.Node, gemm.Output);
        var build = GraphBuilder.Before(old, prefix);
        var a = AsMatrix(build, gemm.A.Matrix, "rows_a");
        var b = AsMatrix(build, gemm.B.Matrix, "rows_b");
        var product = build.Op("gemm", "Gemm", [a, b], Flag("transA", gemm.A.IsTransposed), Flag("transB", gemm.B.IsTransposed));
        var output = product;
        if (old.Is("Gemm") && old.Input(2) is { } bias)
            output = build.Op("bias", "Add", [output, bias]);
        if (gemm.IsFlipped)
            output = build.Op("flip", "Transpose", [output], Attribute.Of("perm", [1L, 0L]));
        if (sum.Shape is { Rank: > 2 } shape)
            output = build.Op("rows_to_batch", "Reshape", [output, BatchShape(build, gemm.A.Matrix, shape)]);
        output.Shape ??= sum.Shape;
        Hand(sum, output);
        if (sum.Producer != old && sum is { Uses.Count: 0, IsGraphOutput: false })
            old.Graph!.Remove(sum.Producer!);
        if (old.Output is { Uses.Count: 0, IsGraphOutput: false })
            old.Graph!.Remove(old);
        return product.Producer!;
    }

    /// <summary>The tensor with all but its last axis as rows; the exporter's own Reshape is used if there is one.</summary>
    private static Value AsMatrix(GraphBuilder build, Value x, string name)
    {
        if (x.Shape is { Rank: 2 })
            return x;
        var columns = x.Shape![-1].Size!.Value;
        var present = x.Uses.Select(u => u.Node).FirstOrDefault(n => n.Is("Reshape") && n.Output.Shape is { Rank: 2 } s && s[1].Size == columns);
        if (present is not null)
            return present.Output;
        var rows = x.Shape.ElementCount is { } count ? count / Math.Max(columns, 1) : -1;
        return build.Op(name, "Reshape", [x, build.Constant($"{name}/shape", Tensor.Int64s(rows, columns))]);
    }

    private static Value BatchShape(GraphBuilder build, Value x, Shape y)
    {
        if (y.IsStatic)
            return build.Constant("batch_shape", Tensor.Int64s(y.Sizes));
        var batch = build.Op("batch", "Shape", [x], Attribute.Of("end", -1L));
        return build.Op("batch_shape", "Concat", [batch, build.Constant("columns", Tensor.Int64s(y[-1].Size ?? -1))], Attribute.Of("axis", 0L));
    }

    /// <summary>Every reader of <paramref name="old"/> reads <paramref name="replacement"/>; a graph output keeps its name.</summary>
    private static void Hand(Value old, Value replacement)
    {
        old.ReplaceUsesWith(replacement, replacement.Producer!);
        if (old.IsGraphOutput)
            replacement.Producer!.Graph!.ReplaceOutput(old, replacement);
    }

    private static Attribute Flag(string name, bool value) => Attribute.Of(name, value ? 1L : 0L);
}
