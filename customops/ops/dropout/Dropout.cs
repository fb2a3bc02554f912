using System.Globalization;
using Halo.Building;
using Halo.Ir;
using Halo.Operators;

namespace Halo.CustomOps;

/// <summary>Elements dropped at random, by a generator without state.</summary>
/// <remarks>
/// X (any shape), float32, float16 or bfloat16; seed, step () int64 -> Y (the same shape and type). Attributes: ratio in [0, 1); stream, from 0 below 2^32.
/// y[i] = 0 where word(i) is below the whole part of 2^32 ratio, else x[i] / (1 - ratio), both
/// operations rounded to float32 and the quotient to the type. [Srivastava et al. 2014]
/// word(i) is word i mod 4 of Philox4x32-10 for the key seed and the counter (i / 4, step mod 2^32, stream). [Salmon et al. 2011]
/// So a mask is never stored: the gradient of X is the same operator over dY. Nodes of one graph have a stream each, and a step is one run of the graph:
/// micro-batches count, too.
/// </remarks>
public sealed class Dropout : HaloOperator
{
    private const long Word = 0xFFFFFFFF, Half = 0x10000;

    // The multipliers of the counter's first and third word, and what the key grows by. [Salmon et al. 2011, Random123]
    private static readonly long[] Multipliers = [0xD2511F53, 0xCD9E8D57], Weyl = [0x9E3779B9, 0xBB67AE85];

    public override string OpType => nameof(Dropout);

    public override string Schema => "Dropout(X: T, seed: I, step: I) -> Y: T; T: float, float16, bfloat16; I: int64";

    public override RecomputeKind? Recompute => RecomputeKind.Elementwise;

    public override IReadOnlyList<FreeSize>? FreeSizes(FreeOperands x) => x.Sizes[0];

    public override void InferShapes(Node node)
    {
        var ratio = node.Float("ratio", -1);
        if (ratio is not (>= 0 and < 1))
        {
            throw new HaloException("dropout", node.ToString(), "a ratio from 0 below 1", ratio.ToString(CultureInfo.InvariantCulture),
                "Give the share of elements to drop.");
        }
        if (node.Int("stream", 0) is < 0 or > Word)
            throw new HaloException("dropout", node.ToString(), "a stream from 0 below 2^32", $"{node.Int("stream", 0)}", "Number the nodes of the graph.");
        foreach (var (i, name) in new[] { (1, "seed"), (2, "step") })
            ShapeRule.Require("dropout", node, node.Inputs[i]!, name, Shape.Scalar, "Give a scalar.");
        (node.Output.Type, node.Output.Shape) = (node.Inputs[0]!.Type, node.Inputs[0]!.Shape);
    }

    public override FunctionBody Body(Node node)
    {
        var body = new FunctionBody("X", "seed", "step") { AttributeNames = ["ratio", "stream"] };
        var (x, type) = (body.Input(0), node.Inputs[0]!.Type);
        Value Number(string name, long value) => body.Constant(name, Tensor.Scalar(value));
        Value Given(string attribute, AttributeKind kind) =>
            body.Op(attribute + "/value", "Constant", [], Attribute.Reference($"value_{kind}".ToLowerInvariant(), kind, attribute));
        var (word, high, axis) = (Number("word", Word), Number("high", Word + 1), body.Constant("axis", Tensor.Int64s(0)));
        Value Low(string name, Value v) => body.Op(name, "BitwiseAnd", [v, word]);

        // The counter's words as rows, a column a block: [c0; c2] and [c1; c3].
        var size = body.Op("size", "Shape", [body.Op("elements", "Reshape", [x, body.Constant("all", Tensor.Int64s(-1))])]);
        var count = body.Op("count", "Squeeze", [size]);
        var blocks = body.Op("blocks", "Div", [body.Op("padded", "Add", [count, Number("three", 3)]), Number("four", 4)]);
        var index = body.Op("index", "Unsqueeze", [body.Op("range", "Range", [Number("zero", 0), blocks, Number("one", 1)]), axis]);
        var row = body.Op("row", "Shape", [index]);
        Value Rows(string name, Value first, Value second) =>
            body.Op(name, "Concat", [first, body.Op(name + "/second", "Expand", [second, row])], Attribute.Of("axis", 0L));
        var even = Rows("even", Low("index/low", index), Low("step/low", body.Input(2)));
        var odd = Rows("odd", body.Op("index/high", "Div", [index, high]), Given("stream", AttributeKind.Int));
        var seedLow = Low("seed/low", body.Input(1));
        var seedHigh = Low("seed/high", body.Op("seed/top", "Div", [body.Op("seed/rest", "Sub", [body.Input(1), seedLow]), high]));
        var key = body.Op("key", "Concat", [body.Op("key/0", "Unsqueeze", [seedLow, axis]), body.Op("key/1", "Unsqueeze", [seedHigh, axis])],
            Attribute.Of("axis", 0L));
        key = body.Op("keys", "Unsqueeze", [key, body.Constant("axis1", Tensor.Int64s(1))]);
        for (var round = 0; round < 10; round++)
        {
            var grown = body.Op($"{round}/grown", "Add", [key, Pair(body, $"{round}/weyl", w => w * round, Weyl)]);
            (even, odd) = Round(body, round, even, odd, Low($"{round}/key", grown), word);
        }

        var words = body.Op("pairs", "Concat", [Middle("even/words", even), Middle("odd/words", odd)], Attribute.Of("axis", 1L));
        words = body.Op("columns", "Reshape", [words, body.Constant("columns/shape", Tensor.Int64s(4, -1))]);
        words = body.Op("flat", "Reshape", [body.Op("rows", "Transpose", [words]), body.Constant("flat/shape", Tensor.Int64s(-1))]);
        words = body.Op("used", "Slice", [words, axis, size]);
        var ratio = Given("ratio", AttributeKind.Float);
        var all = body.Constant("words", Tensor.Of<double>(ElementType.Double, [], [Word + 1.0]));
        var threshold = body.Cast("threshold", body.Op("ratio/words", "Mul", [body.Cast("ratio/double", ratio, ElementType.Double), all]), ElementType.Int64);
        var drops = body.Op("drops", "Less", [body.Op("word/of", "Reshape", [words, body.Op("shape", "Shape", [x])]), threshold]);
        var scaled = body.Op("scaled", "Div", [body.ToFloat("x", x, type), body.Op("kept", "Sub", [body.Constant("1", Tensor.Scalar(1f)), ratio])]);
        return body.Output("Y", body.FromFloat("rounded", body.Op("y", "Where", [drops, body.Constant("0", Tensor.Scalar(0f)), scaled]), type));

        Value Middle(string name, Value v) => body.Op(name, "Unsqueeze", [v, body.Constant(name + "/axis", Tensor.Int64s(1))]);
    }

    /// <summary>One round; products of 32 bits in halves of 16, so that none leaves int64.</summary>
    private static (Value Even, Value Odd) Round(FunctionBody body, int round, Value even, Value odd, Value key, Value word)
    {
        Value Op(string name, string opType, params ReadOnlySpan<Value?> inputs) => body.Op($"{round}/{name}", opType, inputs);
        var (half, low16) = (body.Constant($"{round}/half", Tensor.Scalar(Half)), body.Constant($"{round}/low16", Tensor.Scalar(Half - 1)));
        var top = Op("top", "Mul", even, Pair(body, $"{round}/tops", m => m / Half, Multipliers));
        var bottom = Op("bottom", "Mul", even, Pair(body, $"{round}/bottoms", m => m % Half, Multipliers));
        var high = Op("high", "Div", Op("carried", "Add", top, Op("carry", "Div", bottom, half)), half);
        var low = Op("low", "BitwiseAnd", Op("sum", "Add", Op("shifted", "Mul", Op("rest", "BitwiseAnd", top, low16), half), bottom), word);
        var swap = body.Constant($"{round}/swap", Tensor.Int64s(1, 0));
        return (Op("even", "BitwiseXor", Op("mixed", "BitwiseXor", Op("highs", "Gather", high, swap), odd), key), Op("odd", "Gather", low, swap));
    }

    private static Value Pair(FunctionBody body, string name, Func<long, long> value, long[] of) =>
        body.Constant(name, Tensor.Of<long>(ElementType.Int64, [2, 1], [value(of[0]), value(of[1])]));
}

/// <summary>Makes <see cref="CustomOps.Dropout"/> nodes.</summary>
public static class DropoutExtensions
{
    /// <summary><paramref name="x"/> with a share of <paramref name="ratio"/> made 0 and the rest divided by 1 - ratio; its own gradient operator.</summary>
    public static Value Dropout(this GraphBuilder build, Value x, Value seed, Value step, float ratio, long stream, string name) =>
        HaloOperators.Call(build, name, nameof(Dropout), [x, seed, step], 1, HaloOperators.OverloadOf("dropout", x), Attribute.Of("ratio", ratio),
            Attribute.Of("stream", stream)).Output;
}
