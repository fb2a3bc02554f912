using Halo.Building;
using Halo.Ir;

namespace Halo.CustomOps;

/// <summary>What AdamW does to one parameter and its moments.</summary>
/// <remarks>
/// P, gradient, m, v (any shape, the same), float32; factor, stepSize, root2, keep? () float32 -> updatedP, updatedM, updatedV. Attributes: beta1, rest1 = 1 -
/// beta1, beta2, rest2 = 1 - beta2, each rounded from float64; epsilon.
///   g = gradient * factor;  m = m beta1 + g rest1;  v = v beta2 + (g g) rest2
///   p = p keep - m / (sqrt(v) / root2 + epsilon) * stepSize, without keep p as it is   [Loshchilov and Hutter 2019, algorithm 2]
/// Every product, sum, quotient and root is rounded to float32 by itself, so that body and kernels, CPU and GPU, give the same bits. Each element is read
/// before it is written: outputs may lie where the inputs do.
/// P, m and v may be bfloat16, with a gradient of either type: computed in float32, with sqrt(v) (1 / root2), and each result rounded up or down by chance
/// (<see cref="ChanceRounding"/>),
/// by step, seed () int64 and the attribute tensor, which numbers the parameters of a run. To the nearest, v would never fall again, and a small step be lost.
/// </remarks>
public sealed class AdamW : HaloOperator
{
    private const int KeepInput = 7, StepInput = 8, SeedInput = 9;

    private static readonly string[] Inputs = ["P", "gradient", "m", "v", "factor", "stepSize", "root2", "keep", "step", "seed"];

    public override string OpType => nameof(AdamW);

    public override string Schema =>
        "AdamW(P: T, gradient: G, m: T, v: T, factor: F, stepSize: F, root2: F, keep?: F, step?: I, seed?: I)"
        + " -> updatedP: T, updatedM: T, updatedV: T; T: float, bfloat16; G: float, bfloat16; F: float; I: int64";

    public override void InferShapes(Node node)
    {
        var p = node.Inputs[0]!;
        for (var i = 1; i < Inputs.Length; i++)
        {
            if (node.Input(i) is not { } x || (i < 4 && p.Shape is null))
                continue;
            ShapeRule.Require("adam-w", node, x, Inputs[i], i < 4 ? p.Shape! : Shape.Scalar,
                i < 4 ? "Give tensors of the parameter's shape." : "Give a scalar.");
        }
        foreach (var output in node.Outputs)
            (output.Type, output.Shape) = (p.Type, p.Shape);
    }

    public static string Overload(ElementType type, ElementType gradient, bool decays)
    {
        var types = type == ElementType.Float ? "" : type == gradient ? type.Name() : $"{type.Name()}_{gradient.Name()}";
        return string.Join('_', new[] { types, decays ? "decays" : "" }.Where(part => part.Length > 0));
    }

    public override FunctionBody Body(Node node)
    {
        var type = node.Inputs[0]!.Type;
        var isRounded = type != ElementType.Float;
        var body = new FunctionBody(Inputs.AsSpan(0, node.Inputs.Count))
        {
            AttributeNames = ["beta1", "rest1", "beta2", "rest2", "epsilon"],
            AttributeDefaults = isRounded ? [Attribute.Of("tensor", 0L)] : [],
        };
        Value Input(int i, string name) => body.ToFloat(name, body.Input(i), node.Inputs[i]!.Type);
        var (p, m, v, _) = Next(body, Input(0, "wideP"), Input(1, "wideGradient"), Input(2, "wideM"), Input(3, "wideV"), 4,
            node.Input(KeepInput) is null ? null : body.Input(KeepInput), byInverse: isRounded);
        if (isRounded)
        {
            var tensor = body.Op("tensor", "Constant", [], Attribute.Reference("value_int", AttributeKind.Int, "tensor"));
            (p, m, v) = ChanceRounding.Of(body, [(p, type), (m, type), (v, type)], body.Input(StepInput), body.Input(SeedInput), tensor);
        }
        return body.Output("updatedP", p).Output("updatedM", m).Output("updatedV", v);
    }

    /// <summary>The update of float32 numbers, and the root of the new second moment. Behind <paramref name="factor"/> stand stepSize and root2.</summary>
    internal static (Value P, Value M, Value V, Value Root) Next(FunctionBody body, Value p, Value gradient, Value m, Value v, int factor, Value? keep,
        bool byInverse)
    {
        Value Factor(string name) => body.Op(name, "Constant", [], Attribute.Reference("value_float", AttributeKind.Float, name));
        Value Mul(string name, Value a, Value b) => body.Op(name, "Mul", [a, b]);
        var (stepSize, root2) = (body.Input(factor + 1), body.Input(factor + 2));
        var g = Mul("g", gradient, body.Input(factor));
        var newM = body.Op("newM", "Add", [Mul("kept1", m, Factor("beta1")), Mul("gm", g, Factor("rest1"))]);
        var newV = body.Op("newV", "Add", [Mul("kept2", v, Factor("beta2")), Mul("gv", Mul("gg", g, g), Factor("rest2"))]);
        var sqrt = body.Op("sqrt", "Sqrt", [newV]);
        var root = byInverse ? Mul("root", sqrt, body.Op("inverse", "Reciprocal", [root2])) : body.Op("root", "Div", [sqrt, root2]);
        var direction = body.Op("direction", "Div", [newM, body.Op("denominator", "Add", [root, Factor("epsilon")])]);
        var old = keep is null ? p : Mul("old", p, keep);
        return (body.Op("newP", "Sub", [old, Mul("update", direction, stepSize)]), newM, newV, sqrt);
    }
}

/// <summary>Makes <see cref="CustomOps.AdamW"/> nodes.</summary>
public static class AdamWExtensions
{
    /// <summary>
    /// The parameter and its moments after a step; <paramref name="keep"/> is 1 - learning rate * weight decay, null where nothing decays.
    /// <paramref name="chance"/> rounds those of bfloat16; null for float32.
    /// </summary>
    public static (Value P, Value M, Value V) AdamW(
        this GraphBuilder build, Value p, Value gradient, Value m, Value v, Value factor, Value stepSize, Value root2, Value? keep,
        double beta1, double beta2, double epsilon, string name, (Value Step, Value Seed, long Tensor)? chance = null)
    {
        var inputs = new List<Value?> { p, gradient, m, v, factor, stepSize, root2 };
        if (keep is not null || chance is not null)
            inputs.Add(keep);
        List<Attribute> attributes = [Attribute.Of("beta1", (float)beta1), Attribute.Of("rest1", (float)(1 - beta1)), Attribute.Of("beta2", (float)beta2),
            Attribute.Of("rest2", (float)(1 - beta2)), Attribute.Of("epsilon", (float)epsilon)];
        if (chance is var (step, seed, tensor))
        {
            inputs.AddRange([step, seed]);
            attributes.Add(Attribute.Of("tensor", tensor));
        }
        var node = HaloOperators.Call(build, name, nameof(AdamW), [.. inputs], 3, CustomOps.AdamW.Overload(p.Type, gradient.Type, keep is not null),
            [.. attributes]);
        return (node.Outputs[0], node.Outputs[1], node.Outputs[2]);
    }
}
