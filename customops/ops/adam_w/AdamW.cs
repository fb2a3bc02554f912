using Halo.Building;
using Halo.Ir;

namespace Halo.CustomOps;

/// <summary>What AdamW does to one parameter and its moments.</summary>
/// <remarks>
/// P, gradient, m, v (any shape, the same) float32; factor, stepSize, root2, keep? () float32 -> updatedP, updatedM, updatedV. Attributes: beta1, rest1 = 1 -
/// beta1, beta2, rest2 = 1 - beta2, each rounded from float64; epsilon.
///   g = gradient * factor;  m = m beta1 + g rest1;  v = v beta2 + (g g) rest2
///   p = p keep - m / (sqrt(v) / root2 + epsilon) * stepSize, without keep p as it is   [Loshchilov and Hutter 2019, algorithm 2]
/// Every product, sum, quotient and root is rounded to float32 by itself, so that body and kernels, CPU and GPU, give the same bits. Each element is read
/// before it is written: outputs may lie where the inputs do.
/// </remarks>
public sealed class AdamW : HaloOperator
{
    private static readonly string[] Inputs = ["P", "gradient", "m", "v", "factor", "stepSize", "root2", "keep"];

    public override string OpType => nameof(AdamW);

    public override string Schema => "AdamW(P: T, gradient: T, m: T, v: T, factor: float, stepSize: float, root2: float, keep?: float)"
        + " -> updatedP: T, updatedM: T, updatedV: T; T: float";

    public override void InferShapes(Node node)
    {
        var p = node.Inputs[0]!;
        for (var i = 1; i < Inputs.Length; i++)
        {
            if (node.Input(i) is not { } x || (i < 4 && p.Shape is null))
                continue;
            ShapeRule.Require("adam-w", node, x, Inputs[i], i < 4 ? p.Shape! : Shape.Scalar, i < 4 ? "Give tensors of the parameter's shape." : "Give a scalar.");
        }
        foreach (var output in node.Outputs)
            (output.Type, output.Shape) = (ElementType.Float, p.Shape);
    }

    public override FunctionBody Body(Node node)
    {
        var body = new FunctionBody(Inputs.AsSpan(0, node.Input(7) is null ? 7 : 8))
        {
            AttributeNames = ["beta1", "rest1", "beta2", "rest2", "epsilon"],
        };
        Value Factor(string name) => body.Op(name, "Constant", [], Attribute.Reference("value_float", AttributeKind.Float, name));
        Value Mul(string name, Value a, Value b) => body.Op(name, "Mul", [a, b]);
        var g = Mul("g", body.Input(1), body.Input(4));
        var m = body.Op("newM", "Add", [Mul("kept1", body.Input(2), Factor("beta1")), Mul("gm", g, Factor("rest1"))]);
        var v = body.Op("newV", "Add", [Mul("kept2", body.Input(3), Factor("beta2")), Mul("gv", Mul("gg", g, g), Factor("rest2"))]);
        var root = body.Op("root", "Div", [body.Op("sqrt", "Sqrt", [v]), body.Input(6)]);
        var direction = body.Op("direction", "Div", [m, body.Op("denominator", "Add", [root, Factor("epsilon")])]);
        var old = node.Input(7) is null ? body.Input(0) : Mul("old", body.Input(0), body.Input(7));
        var p = body.Op("newP", "Sub", [old, Mul("update", direction, body.Input(5))]);
        return body.Output("updatedP", p).Output("updatedM", m).Output("updatedV", v);
    }
}

/// <summary>Makes <see cref="CustomOps.AdamW"/> nodes.</summary>
public static class AdamWExtensions
{
    /// <summary>The parameter and its moments after a step; <paramref name="keep"/> is 1 - learning rate * weight decay, null where nothing decays.</summary>
    public static (Value P, Value M, Value V) AdamW(
        this GraphBuilder build, Value p, Value gradient, Value m, Value v, Value factor, Value stepSize, Value root2, Value? keep,
        double beta1, double beta2, double epsilon, string name)
    {
        var inputs = new List<Value?> { p, gradient, m, v, factor, stepSize, root2 };
        if (keep is not null)
            inputs.Add(keep);
        var node = HaloOperators.Call(build, name, nameof(AdamW), [.. inputs], 3, keep is null ? "" : "decays",
            Attribute.Of("beta1", (float)beta1), Attribute.Of("rest1", (float)(1 - beta1)), Attribute.Of("beta2", (float)beta2),
            Attribute.Of("rest2", (float)(1 - beta2)), Attribute.Of("epsilon", (float)epsilon));
        return (node.Outputs[0], node.Outputs[1], node.Outputs[2]);
    }
}
