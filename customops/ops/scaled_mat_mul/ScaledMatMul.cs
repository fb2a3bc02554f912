using Halo.Building;
using Halo.Ir;
using Halo.Operators;

namespace Halo.CustomOps;

/// <summary>The product of two quantized matrices.</summary>
/// <remarks>
/// A (M, K) or with transA (K, M), B (K, N) or with transB (N, K), 8-bit codes; scaleA, scaleB () float32; addend? (M, N), of the type of Y -> Y (M, N).
/// Y = (op(A) op(B)) * (scaleA * scaleB) + addend, accumulated in float32 or better, rounded once. Attributes: transA, transB; to, the type of Y as ONNX
/// numbers it, float32 where it is left out.
/// </remarks>
public sealed class ScaledMatMul : HaloOperator
{
    public override string OpType => nameof(ScaledMatMul);

    public override string Schema =>
        "ScaledMatMul(A: C, scaleA: float, B: D, scaleB: float, addend?: R) -> Y: R;"
        + " C: float8e4m3fn, float8e5m2, int8; D: float8e4m3fn, float8e5m2, int8; R: float, float16, bfloat16";

    public static string Overload(ElementType to, bool adds = false) => (to == ElementType.Float, adds) switch
    {
        (true, _) => adds ? "added" : "",
        (false, _) => adds ? $"{to.Name()}_added" : to.Name(),
    };

    public override OperatorRole Role => new OperatorRole.Product(0, 2) { ReadsCodes = true };

    public override void InferShapes(Node node)
    {
        node.Output.Type = To(node);
        if (node.Inputs[0]!.Shape is not { } a || node.Inputs[2]!.Shape is not { } b)
            return;
        var (transA, transB) = ((int)node.Int("transA", 0), (int)node.Int("transB", 0));
        if (a.Rank != 2 || b.Rank != 2 || (a[1 - transA].Size is { } kA && b[transB].Size is { } kB && kA != kB))
        {
            throw new HaloException("scaled-mat-mul", node.ToString(), "matrices that share the contracted dimension",
                $"A {a} (transA {transA}), B {b} (transB {transB})", "Check the transpose flags.");
        }
        node.Output.Shape = new Shape([a[transA], b[1 - transB]]);
        if (node.Input(4) is { } addend)
            ShapeRule.Require("scaled-mat-mul", node, addend, "addend", node.Output.Shape, "Give what is added to each element of Y.");
    }

    public override FunctionBody Body(Node node)
    {
        var (to, flags) = (To(node), (Attribute[])[Attribute.Of("transA", 0L), Attribute.Of("transB", 0L)]);
        var adds = node.Input(4) is not null;
        var body = new FunctionBody(((string[])["A", "scaleA", "B", "scaleB", "addend"]).AsSpan(0, adds ? 5 : 4))
        {
            AttributeDefaults = to == ElementType.Float ? flags : [.. flags, Attribute.Of("to", (long)to)],
        };
        var product = body.Op("product", "Gemm", [body.Cast("a", body.Input(0), ElementType.Float), body.Cast("b", body.Input(2), ElementType.Float)],
            Attribute.Reference("transA", AttributeKind.Int, "transA"), Attribute.Reference("transB", AttributeKind.Int, "transB"));
        var y = body.Op("y", "Mul", [product, body.Op("scale", "Mul", [body.Input(1), body.Input(3)])]);
        if (adds)
            y = body.Op("sum", "Add", [y, body.ToFloat("added", body.Input(4), to)]);
        return body.Output("Y", body.FromFloat("rounded", y, to));
    }

    private static ElementType To(Node node) => (ElementType)node.Int("to", (long)ElementType.Float) is var to
        && HaloOperators.IsComputed(to) ? to
        : throw new HaloException("scaled-mat-mul", node.ToString(), "a product in float, float16 or bfloat16", to.Name(), "Correct the attribute to.");
}

/// <summary>Makes <see cref="CustomOps.ScaledMatMul"/> nodes.</summary>
public static class ScaledMatMulExtensions
{
    /// <summary>op(a) op(b) of two quantized matrices, with <paramref name="addend"/> unless that is null, rounded to <paramref name="to"/>.</summary>
    public static Value ScaledMatMul(
        this GraphBuilder build, Value a, Value scaleA, Value b, Value scaleB, bool transA, bool transB, string name,
        ElementType to = ElementType.Float, Value? addend = null)
    {
        var flags = (Attribute[])[Attribute.Of("transA", transA ? 1L : 0L), Attribute.Of("transB", transB ? 1L : 0L)];
        var inputs = (Value[])[a, scaleA, b, scaleB, .. addend is null ? [] : (Value[])[addend]];
        return HaloOperators.Call(build, name, nameof(ScaledMatMul), inputs, 1, CustomOps.ScaledMatMul.Overload(to, addend is not null),
            to == ElementType.Float ? flags : [.. flags, Attribute.Of("to", (long)to)]).Output;
    }
}
