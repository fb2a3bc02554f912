using Halo.Ir;

namespace Halo.CustomOps.Cases;

/// <summary>
/// One to three weights, each width of codes, with zeros and biases and without, gated; K that blocks fill and that they do not; many rows; each type.
/// </summary>
public sealed class PackedProductsCase() : OpCase("PackedProducts")
{
    public override IEnumerable<OpBenchmark> Benchmarks =>
    [
        new(OpType, "float", "704 x 256", random => Call(random, [1, 256], [704, 704], 4, 32, (true, false), gated: true, ElementType.Float))
        {
            Bytes = 2 * 704 * 256 * (0.5 + 4.5 / 32),
        },
    ];

    public override IEnumerable<OpCall> Calls(Random random)
    {
        yield return Call(random, [1, 32], [8], 4, 32, (false, false), gated: false, ElementType.Float);
        yield return Call(random, [1, 1, 70], [17, 5, 5], 4, 32, (true, false), gated: false, ElementType.Float);
        yield return Call(random, [3, 64], [9, 16], 8, 16, (false, true), gated: false, ElementType.Float);
        yield return Call(random, [2, 130], [6, 3], 2, 64, (true, true), gated: false, ElementType.Float);
        yield return Call(random, [2, 3, 48], [7, 7], 4, 16, (true, true), gated: true, ElementType.Float); // six rows, blocks of half a load
        yield return Call(random, [9, 64], [12, 4, 4], 4, 32, (true, false), gated: false, ElementType.Float);
        foreach (var type in FloatTypes)
        {
            yield return Call(random, [1, 96], [20, 8, 8], 4, 32, (true, false), gated: false, type);
            yield return Call(random, [2, 64], [11, 11], 8, 32, (false, true), gated: true, type);
        }
    }

    /// <summary>Weights are constants of the graph: no input of a case has their type.</summary>
    private static OpCall Call(Random random, long[] sizes, int[] rows, int bits, int block, (bool Zeros, bool Bias) has, bool gated, ElementType type)
    {
        var (a, k) = (HostTensor.Normal(random, sizes), (int)sizes[^1]);
        var blocks = (k + block - 1) / block;
        var weights = rows.Select(n => new Weight(random, n, blocks, block, bits, has.Zeros, has.Bias)).ToList();
        var more = $"{(has.Zeros ? "with zeros " : "")}{(has.Bias ? "with biases " : "")}{(gated ? "gated " : "")}";
        var name = $"{a} by {string.Join(" and ", rows)} of {bits} bits {more}{type}";
        return new(name, [a], (build, inputs) =>
        {
            Value Typed(string part, float[] values, params long[] of)
            {
                var constant = build.Constant(part, Tensor.Floats(of, values));
                return type == ElementType.Float ? constant : Cast(build, constant, type, part + "/cast");
            }
            Value Bytes(string part, byte[] values, params long[] of) => build.Constant(part, Tensor.Of<byte>(ElementType.UInt8, of, values));
            var made = weights.Select((w, i) => new PackedWeight(
                Bytes($"codes{i}", w.Codes, w.Rows, blocks, block * bits / 8), Typed($"scales{i}", w.Scales, w.Rows, blocks),
                has.Zeros ? Bytes($"zeros{i}", w.Zeros, w.Rows, w.Zeros.Length / w.Rows) : null, has.Bias ? Typed($"bias{i}", w.Bias, w.Rows) : null)).ToList();
            return [build.PackedProducts(InType(build, inputs, type)[0], made, bits, block, gated, "products")];
        }, () => [Oracle(Read(a, type), k, weights, gated, type)]);
    }

    /// <summary>
    /// Sums in float32 are off by a rounding for each term, of what terms add up to: k + blocks of them, and two of each weight. A GPU that writes weights of 16
    /// bits out, for more rows than it reads them for, rounds each once more, and each product.
    /// </summary>
    private static Expected Oracle(double[] a, int k, List<Weight> weights, bool gated, ElementType type)
    {
        var (y, error, rough) = (new List<double>(), new List<double>(), new List<double>());
        for (var row = 0; row < a.Length / k; row++)
        {
            var products = weights.Select(w => Enumerable.Range(0, w.Rows).Select(n => w.Product(a.AsSpan(row * k, k), n, type)).ToArray()).ToList();
            if (gated)
            {
                foreach (var (gate, up) in products[0].Zip(products[1]))
                {
                    var value = SwiGluCase.Forward(gate.Sum, up.Sum);
                    var slopes = (Gate: 1.1 * Math.Abs(up.Sum), Up: Math.Abs(SwiGluCase.Forward(gate.Sum, 1)));
                    Add(value, (slopes.Gate * gate.Size) + (slopes.Up * up.Size),
                        (slopes.Gate * Rounding(Math.Abs(gate.Sum) + gate.Size, type)) + (slopes.Up * Rounding(Math.Abs(up.Sum) + up.Size, type)));
                }
                continue;
            }
            foreach (var (sum, size) in products.SelectMany(p => p))
                Add(sum, size, Rounding(size + Math.Abs(sum), type));
        }
        return new([.. y], i => error[i]) { OnGpu = i => rough[i] };

        void Add(double value, double size, double rounded)
        {
            y.Add(value);
            error.Add(((k + 16) * Epsilon * size) + (16 * Epsilon * Math.Abs(value)) + Rounding(value, type));
            rough.Add(2 * rounded + ((k + 16) * Epsilon * size));
        }
    }

    private sealed class Weight
    {
        private readonly int _blocks, _block, _bits;
        private readonly bool _hasZeros, _hasBias;

        public Weight(Random random, int rows, int blocks, int block, int bits, bool hasZeros, bool hasBias)
        {
            (Rows, _blocks, _block, _bits, _hasZeros, _hasBias) = (rows, blocks, block, bits, hasZeros, hasBias);
            (Codes, Zeros) = (new byte[rows * blocks * block * bits / 8], new byte[rows * (((blocks * bits) + 7) / 8)]);
            random.NextBytes(Codes);
            random.NextBytes(Zeros);
            Scales = [.. Enumerable.Range(0, rows * blocks).Select(_ => 0.01f + (0.05f * (float)random.NextDouble()))];
            Bias = [.. Enumerable.Range(0, rows).Select(_ => (float)random.NextDouble() - 0.5f)];
        }

        public int Rows { get; }

        public byte[] Codes { get; }

        public byte[] Zeros { get; }

        public float[] Scales { get; }

        public float[] Bias { get; }

        /// <summary>What a row of W gives, and what the terms add up to without their signs.</summary>
        public (double Sum, double Size) Product(ReadOnlySpan<double> a, int n, ElementType type)
        {
            var bias = _hasBias ? Bits.Round(Bias[n], type) : 0.0;
            var (sum, size) = (bias, Math.Abs(bias));
            for (var k = 0; k < a.Length; k++)
            {
                var block = k / _block;
                var code = Field(Codes, (n * _blocks * _block) + k);
                var zero = _hasZeros ? Field(Zeros.AsSpan(n * Zeros.Length / Rows, Zeros.Length / Rows), block) : 1 << (_bits - 1);
                var term = a[k] * (code - zero) * Bits.Round(Scales[(n * _blocks) + block], type);
                (sum, size) = (sum + term, size + Math.Abs(term));
            }
            return (sum, size);
        }

        private int Field(ReadOnlySpan<byte> bytes, int index) => (bytes[index * _bits / 8] >> (index * _bits % 8)) & ((1 << _bits) - 1);
    }
}
