using Halo.Ir;

namespace Halo.CustomOps;

/// <summary>In a function body: float32 to one of the two neighbours in bfloat16 or E4M3, by random bits that are a function of their place.</summary>
/// <remarks>
/// Eight elements share a block of Philox4x32-10 [Salmon et al. 2011] under the key seed: counter (e / 8, low and high word; step; 2^31 + tensor), four words,
/// eight halves, each word's lower one first. The bits of element e are half e % 8, of the second and third result (e + 3) % 8 and (e + 5) % 8.
/// A float32 lies between two numbers of bfloat16, 2^16 steps apart: it becomes the farther one from 0 where its distance from the nearer, in steps, plus the bits
/// reach 2^16; so of E4M3, whose steps are 2^20 apart, the distance in 2^-16 of a step, cut. What is not finite is rounded to the nearest.
/// Written in ONNX's integers of 64 bits, none of which overflow, and float64, which holds every number of them exactly.
/// </remarks>
internal static class ChanceRounding
{
    private const long Word = 1L << 32, Half = 1L << 16;

    /// <summary>Of the halves of a block that each result takes.</summary>
    private static readonly int[] Shifts = [0, 3, 5];

    /// <param name="body">Gets the nodes.</param>
    /// <param name="results">Three numbers of one shape, and what each becomes: bfloat16; uint8, the bits of E4M3, where none is above 448; or float32, which it is.</param>
    /// <param name="step">Of the run.</param>
    /// <param name="seed">Of the run.</param>
    /// <param name="tensor">Number of the parameter.</param>
    public static (Value, Value, Value) Of(FunctionBody body, (Value Number, ElementType To)[] results, Value step, Value seed, Value tensor)
    {
        var rounded = Each(body, results, step, seed, tensor);
        return (rounded[0], rounded[1], rounded[2]);
    }

    /// <summary>One number, in bfloat16.</summary>
    public static Value Of(FunctionBody body, Value number, Value step, Value seed, Value tensor) =>
        Each(body, [(number, ElementType.BFloat16)], step, seed, tensor)[0];

    private static Value[] Each(FunctionBody body, (Value Number, ElementType To)[] results, Value step, Value seed, Value tensor)
    {
        var math = new Integers(body);
        var number = results[0].Number;
        var size = body.Op("size", "Size", [number]);
        var blocks = math.Op("Div", math.Op("Add", size, math.Number(7)), math.Number(8));
        var index = body.Op("blockIndex", "Range", [math.Number(0), blocks, math.Number(1)]);
        var stream = math.Op("Add", tensor, math.Number(1L << 31));
        var words = Philox(math, [math.Low(index), math.High(index), math.Low(step), stream], math.Low(seed), math.Low(math.High(seed)));
        var column = body.Constant("column", Tensor.Int64s(-1, 1));
        var parts = words.SelectMany(word => new[] { math.Op("Mod", word, math.Number(Half)), math.Op("Div", word, math.Number(Half)) })
            .Select(half => math.Op("Reshape", half, column)).ToArray();
        var halves = body.Op("halves", "Concat", parts, Attribute.Of("axis", 1L)); // (blocks, 8)
        var (first, end) = (body.Constant("first", Tensor.Int64s(0)), body.Op("end", "Reshape", [size, math.Flat]));
        var sizes = body.Op("sizes", "Shape", [number]);
        return [.. results.Select((result, k) =>
        {
            var (x, to) = result;
            if (to == ElementType.Float)
                return x;
            var order = body.Constant($"order{k}", Tensor.Int64s([.. Enumerable.Range(0, 8).Select(i => (long)(i + Shifts[k]) % 8)]));
            var bits = math.Op("Reshape", body.Op($"ordered{k}", "Gather", [halves, order], Attribute.Of("axis", 1L)), math.Flat);
            return Round(body, math, x, math.Op("Reshape", math.Op("Slice", bits, first, end), sizes), to, $"rounded{k}");
        })];
    }

    private static Value[] Philox(Integers math, Value[] counter, Value key0, Value key1)
    {
        var (a, b, c, d) = (counter[0], counter[1], counter[2], counter[3]);
        for (var round = 0; round < 10; round++)
        {
            var (highA, lowA) = math.Product(0xD2511F53, a);
            var (highC, lowC) = math.Product(0xCD9E8D57, c);
            (a, b, c, d) = (math.Xor(math.Xor(highC, b), key0), lowC, math.Xor(math.Xor(highA, d), key1), lowA);
            key0 = math.Low(math.Op("Add", key0, math.Number(0x9E3779B9)));
            key1 = math.Low(math.Op("Add", key1, math.Number(0xBB67AE85)));
        }
        return [a, b, c, d];
    }

    private static Value Round(FunctionBody body, Integers math, Value x, Value bits, ElementType to, string name)
    {
        var (mantissa, least, exponents) = to == ElementType.BFloat16 ? (7, -126, 128) : (3, -6, 8);
        var magnitude = math.Op("Abs", body.Cast(math.Name(), x, ElementType.Double));
        // The power of two at or below the magnitude, from the least on, where steps stop shrinking: by halving the range of exponents.
        var power = math.Real(Math.ScaleB(1, least));
        for (var exponent = exponents; exponent > 0; exponent /= 2)
        {
            var next = math.Op("Mul", power, math.Real(Math.ScaleB(1, exponent)));
            power = body.Op(math.Name(), "Where", [math.Op("GreaterOrEqual", magnitude, next), next, power]);
        }
        var step = math.Op("Mul", power, math.Real(Math.ScaleB(1, -mantissa)));
        var steps = body.Cast(math.Name(), math.Op("Mul", math.Op("Div", magnitude, step), math.Real(Half)), ElementType.Int64);
        var whole = body.Cast(math.Name(), math.Op("Div", math.Op("Add", steps, bits), math.Number(Half)), ElementType.Double);
        if (to == ElementType.UInt8)
            return Code(body, math, x, whole, power, name);
        var result = math.Op("Mul", math.Op("Mul", whole, step), math.Op("Sign", body.Cast(math.Name(), x, ElementType.Double)));
        var isFinite = math.Op("Less", magnitude, math.Real(double.PositiveInfinity));
        var number = body.Op(math.Name(), "Where", [isFinite, body.Cast(math.Name(), result, ElementType.Float), x]);
        return body.Cast(name, number, to);
    }

    /// <summary>The bits of E4M3: as many steps as there are, and eight for each power of two above the least.</summary>
    private static Value Code(FunctionBody body, Integers math, Value x, Value whole, Value power, string name)
    {
        const int Powers = 14, Largest = 0x7E, SignBit = 0x80;
        var above = Enumerable.Range(1, Powers).Aggregate(math.Number(0), (sum, k) => math.Op("Add", sum,
            body.Cast(math.Name(), math.Op("GreaterOrEqual", power, math.Real(Math.ScaleB(1, k - 6))), ElementType.Int64)));
        var code = math.Op("Min", math.Op("Add", body.Cast(math.Name(), whole, ElementType.Int64), math.Op("Mul", above, math.Number(8))), math.Number(Largest));
        var sign = body.Cast(math.Name(), math.Op("Less", x, body.Constant(math.Name(), Tensor.Scalar(0f))), ElementType.Int64);
        return body.Cast(name, math.Op("Add", code, math.Op("Mul", sign, math.Number(SignBit))), ElementType.UInt8);
    }

    /// <summary>Nodes of 64-bit integers below 2^63 under names of their own.</summary>
    private sealed class Integers(FunctionBody body)
    {
        private readonly Dictionary<long, Value> _numbers = [];
        private int _count;

        public Value Flat => field ??= body.Constant(Name(), Tensor.Int64s(-1));

        public string Name() => $"chance{_count++}";

        public Value Number(long value) =>
            _numbers.TryGetValue(value, out var known) ? known : _numbers[value] = body.Constant(Name(), Tensor.Scalar(value));

        public Value Real(double value) => body.Constant(Name(), Tensor.Of(ElementType.Double, [], [value]));

        public Value Op(string type, params ReadOnlySpan<Value?> inputs) => body.Op(Name(), type, inputs);

        public Value Xor(Value a, Value b) => Op("BitwiseXor", a, b);

        /// <summary>The lower 32 bits of any number, also of a negative one.</summary>
        public Value Low(Value x) => Op("BitwiseAnd", x, Number(Word - 1));

        /// <summary>The higher ones of a number.</summary>
        public Value High(Value x) => Op("Div", Op("Sub", x, Low(x)), Number(Word));

        /// <summary>Both words of a product of words, by halves of the second.</summary>
        public (Value High, Value Low) Product(long constant, Value x)
        {
            var (half, factor) = (Number(Half), Number(constant));
            var lower = Op("Mul", Op("Mod", x, half), factor);
            var upper = Op("Add", Op("Mul", Op("Div", x, half), factor), Op("Div", lower, half)); // below 2^49
            return (Op("Div", upper, half), Op("Add", Op("Mul", Op("Mod", upper, half), half), Op("Mod", lower, half)));
        }
    }
}
