using Halo.Building;
using Halo.Ir;

namespace Halo.CustomOps;

/// <summary>What AdamW does to one parameter whose moments are kept in 8 bits, with a scale for each 128 neighbours.</summary>
/// <remarks>
/// P, gradient (any shape, the same), m, v (P's shape) uint8, the bits of E4M3, mScales, vScales (ceil(count / 128)) float32, of the elements in the order of memory; factor, stepSize,
/// root2, keep? () float32; step, seed () int64 -> updatedP, and both moments again. Attributes as of <see cref="AdamW"/>, and tensor. With mScales and vScales
/// spread over their blocks,
///   m' = m mScales;  r' = v vScales;  p, m', (r')^2 become p, m", w as <see cref="AdamW"/> has it in float32, with sqrt(w) (1 / root2);  r" = sqrt(w)
///   mScale = max |m"| / 448 of a block, m = m" (448 / max |m"|) rounded by chance to E4M3; so v of r", but at least 2^-9 (code 1) where r" is above 0
/// Both factors are 1 where a scale is no normal float32; a block with what is not finite has a scale of NaN and codes of 0. v is of the root, which has half as
/// many powers of two as the moment; rounded to the nearest it would stay where it is, and at 0 it would be divided by.
/// P of bfloat16 is rounded by chance as well (<see cref="ChanceRounding"/>). Blocks as of [Dettmers et al. 2022, 8-bit optimizers]; E4M3 in place of a table.
/// </remarks>
public sealed class AdamW8Bit : HaloOperator
{
    private const int FactorInput = 6, StepInput = 9, SeedInput = 10, KeepInput = 11;

    /// <summary>2^-126.</summary>
    private const float SmallestNormal = 1.17549435e-38f;

    private static readonly string[] Inputs = ["P", "gradient", "m", "mScales", "v", "vScales", "factor", "stepSize", "root2", "step", "seed", "keep"];

    public override string OpType => nameof(AdamW8Bit);

    public override string Schema =>
        "AdamW8Bit(P: T, gradient: G, m: C, mScales: F, v: C, vScales: F, factor: F, stepSize: F, root2: F, step: I, seed: I, keep?: F)"
        + " -> updatedP: T, updatedM: C, updatedMScales: F, updatedV: C, updatedVScales: F; T: float, bfloat16; G: float, bfloat16; C: uint8; F: float; I: int64";

    /// <summary>Of the scales of a parameter's moments.</summary>
    public static Shape ShapeOfScales(Shape parameter) => Shape.Of((parameter.ElementCount!.Value + QuantizeBlocks.BlockSize - 1) / QuantizeBlocks.BlockSize);

    public override void InferShapes(Node node)
    {
        var p = node.Inputs[0]!;
        for (var i = 1; i < Inputs.Length; i++)
        {
            if (node.Input(i) is not { } x || (i < FactorInput && p.Shape is null))
                continue;
            ShapeRule.Require("adam-w-8bit", node, x, Inputs[i], i >= FactorInput ? Shape.Scalar : i is 3 or 5 ? QuantizeBlocks.ShapeOfScales(p) : p.Shape!,
                i >= FactorInput ? "Give a scalar." : "Give tensors of the parameter's shape, and their scales.");
        }
        foreach (var (i, output) in node.Outputs.Index())
        {
            var like = node.Inputs[i == 0 ? 0 : i + 1]!;
            (output.Type, output.Shape) = (like.Type, i % 2 == 0 && i > 0 ? QuantizeBlocks.ShapeOfScales(p) : p.Shape);
        }
    }

    public static string Overload(ElementType type, ElementType gradient, bool decays) => AdamW.Overload(type, gradient, decays);

    public override FunctionBody Body(Node node)
    {
        var body = new FunctionBody(Inputs.AsSpan(0, node.Inputs.Count))
        {
            AttributeNames = ["beta1", "rest1", "beta2", "rest2", "epsilon"],
            AttributeDefaults = [Attribute.Of("tensor", 0L)],
        };
        Value Float(int i, string name) => body.ToFloat(name, body.Input(i), node.Inputs[i]!.Type);
        var wideP = Float(0, "wideP");
        var blocks = new Blocks(body, wideP);
        var oldRoot = blocks.Numbers("v", body.Input(4), body.Input(5));
        var (p, m, _, root) = AdamW.Next(body, wideP, Float(1, "wideGradient"), blocks.Numbers("m", body.Input(2), body.Input(3)),
            body.Op("oldV", "Mul", [oldRoot, oldRoot]), FactorInput, node.Input(KeepInput) is null ? null : body.Input(KeepInput), byInverse: true);
        var (scaledM, mScales) = blocks.Scaled("newM", m);
        var (scaledRoot, vScales) = blocks.Scaled("newRoot", root);
        var tensor = body.Op("tensor", "Constant", [], Attribute.Reference("value_int", AttributeKind.Int, "tensor"));
        const ElementType Code = ElementType.UInt8;
        var (newP, newM, rounded) = ChanceRounding.Of(body, [(p, node.Inputs[0]!.Type), (scaledM, Code), (scaledRoot, Code)], body.Input(StepInput),
            body.Input(SeedInput), tensor);
        var code = body.Cast("codeOfRoot", rounded, ElementType.Int64);
        var isLost = body.Op("isLost", "And", [body.Op("isZero", "Equal", [code, body.Constant("lost", Tensor.Scalar(0L))]),
            body.Op("isAbove", "Greater", [scaledRoot, blocks.Zero])]);
        var newV = body.Cast("newV8", body.Op("kept", "Where", [isLost, body.Constant("least", Tensor.Scalar(1L)), code]), Code);
        return body.Output("updatedP", newP).Output("updatedM", newM).Output("updatedMScales", mScales).Output("updatedV", newV)
            .Output("updatedVScales", vScales);
    }

    /// <summary>Tensors of one shape as blocks (n, 128), with zeros behind the end.</summary>
    private sealed class Blocks
    {
        private readonly FunctionBody _body;
        private readonly Value _sizes, _pads, _count, _flat, _rows, _last, _none, _table;

        public Blocks(FunctionBody body, Value like)
        {
            _body = body;
            Value Int64s(string name, params ReadOnlySpan<long> values) => body.Constant(name, Tensor.Int64s(values));
            (_flat, _rows, _last, _none) = (Int64s("flat", -1), Int64s("rows", -1, QuantizeBlocks.BlockSize), Int64s("last", 1), Int64s("none", 0));
            _sizes = body.Op("blocked.sizes", "Shape", [like]);
            _count = body.Op("blocked.count", "Reshape", [body.Op("blocked.size", "Size", [like]), _flat]);
            var missing = body.Op("missing", "Mod", [body.Op("minusCount", "Neg", [_count]), Int64s("block", QuantizeBlocks.BlockSize)]); // the divisor's sign
            _pads = body.Op("pads", "Concat", [_none, missing], Attribute.Of("axis", 0L));
            Zero = body.Constant("zero", Tensor.Scalar(0f));
            _table = body.Constant("numbersOfCodes", Tensor.Floats([256], [.. Enumerable.Range(0, 256).Select(Number)]));
        }

        public Value Zero { get; }

        /// <summary>Of a code: sign, 4 bits of exponent with bias 7, 3 of mantissa.</summary>
        private static float Number(int code)
        {
            var magnitude = code & 0x7F;
            var size = magnitude == 0x7F ? float.NaN : magnitude < 8 ? MathF.ScaleB(magnitude, -9) : MathF.ScaleB(8 + (magnitude & 7), (magnitude >> 3) - 10);
            return code < 128 ? size : -size;
        }

        /// <summary>What codes stand for.</summary>
        public Value Numbers(string name, Value codes, Value scales) => Whole(name, _body.Op($"{name}.numbers", "Mul",
            [Of(name, _body.Op($"{name}.decoded", "Gather", [_table, _body.Cast($"{name}.index", codes, ElementType.Int64)])), _body.Op($"{name}.column", "Unsqueeze", [scales, _last])]));

        /// <summary>Numbers as they are rounded to codes, and the scales of those.</summary>
        public (Value Scaled, Value Scales) Scaled(string name, Value x)
        {
            var blocks = Of($"{name}.new", x);
            Value Op(string part, string type, params ReadOnlySpan<Value?> inputs) => _body.Op($"{name}.{part}", type, inputs);
            var one = _body.Constant($"{name}.one", Tensor.Scalar(1f));
            var qmax = _body.Constant($"{name}.qmax", Tensor.Scalar(NumberFormat.E4M3.QMax));
            var bad = Op("bad", "ReduceSum", Op("zeros", "Mul", blocks, Zero), _last); // NaN where an element is not finite
            var largest = Op("largest", "Add", Op("magnitude", "Max", Op("max", "ReduceMax", blocks, _last),
                Op("minusMin", "Neg", Op("min", "ReduceMin", blocks, _last))), bad);
            var exact = Op("exact", "Div", largest, qmax);
            var tiny = Op("tiny", "Less", exact, _body.Constant($"{name}.smallest", Tensor.Scalar(SmallestNormal)));
            var scale = Op("scale", "Where", tiny, one, exact);
            var scaled = Op("scaled", "Mul", blocks, Op("inverseScale", "Where", tiny, one, Op("quotient", "Div", qmax, largest)));
            return (Whole($"{name}.all", Op("numbers", "Where", Op("isBad", "IsNaN", scale), Zero, scaled)), Op("scales", "Reshape", scale, _flat));
        }

        private Value Of(string name, Value x) =>
            _body.Op($"{name}.blocks", "Reshape", [_body.Op($"{name}.padded", "Pad", [_body.Op($"{name}.flat", "Reshape", [x, _flat]), _pads]), _rows]);

        private Value Whole(string name, Value blocks) => _body.Op($"{name}.whole", "Reshape",
            [_body.Op($"{name}.cut", "Slice", [_body.Op($"{name}.elements", "Reshape", [blocks, _flat]), _none, _count]), _sizes]);
    }
}

/// <summary>Makes <see cref="CustomOps.AdamW8Bit"/> nodes.</summary>
public static class AdamW8BitExtensions
{
    /// <summary>The outputs of an update: the parameter, codes and scales of the first moment, codes and scales of the second one's root.</summary>
    /// <param name="build">Makes the node.</param>
    /// <param name="inputs">Those of the operator, in its order; <c>keep</c> may be left out.</param>
    /// <param name="beta1">Decay of the first moment.</param>
    /// <param name="beta2">Decay of the second moment.</param>
    /// <param name="epsilon">Added to the root of the second moment.</param>
    /// <param name="tensor">Number of the parameter in the run.</param>
    /// <param name="name">Of the node.</param>
    public static IReadOnlyList<Value> AdamW8Bit(this GraphBuilder build, IReadOnlyList<Value> inputs, double beta1, double beta2, double epsilon, long tensor,
        string name) =>
        HaloOperators.Call(build, name, nameof(CustomOps.AdamW8Bit), [.. inputs], 5,
            CustomOps.AdamW8Bit.Overload(inputs[0].Type, inputs[1].Type, inputs.Count > 11), Attribute.Of("beta1", (float)beta1),
            Attribute.Of("rest1", (float)(1 - beta1)), Attribute.Of("beta2", (float)beta2), Attribute.Of("rest2", (float)(1 - beta2)),
            Attribute.Of("epsilon", (float)epsilon), Attribute.Of("tensor", tensor)).Outputs;
}
