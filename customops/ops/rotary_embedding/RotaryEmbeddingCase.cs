using Halo.Ir;

namespace Halo.CustomOps.Cases;

/// <summary>Head sizes whose half no vector width divides, with and without positions, both directions, each type, values that are not finite.</summary>
public sealed class RotaryEmbeddingCase() : OpCase("RotaryEmbedding")
{
    public override IEnumerable<OpBenchmark> Benchmarks =>
    [
        new(OpType, "float", Tiny.HeadsShape, random =>
            Call("normal", HostTensor.Normal(random, Tiny.Batch, Tiny.Heads, Tiny.Sequence, Tiny.Dim), Tiny.Sequence, false, false, ElementType.Float, random))
        {
            Bytes = Tiny.Tensors(2, Tiny.Tokens * Tiny.Hidden),
        },
    ];

    public override IEnumerable<OpCall> Calls(Random random)
    {
        foreach (var (b, h, t, d) in new[] { (1, 1, 1, 2), (2, 3, 7, 6), (2, 1, 33, 8), (1, 2, 65, 64), (3, 4, 64, 34) })
            foreach (var hasPositions in new[] { false, true })
                foreach (var inverse in new[] { false, true })
                {
                    var positions = hasPositions ? t + 9 : t;
                    yield return Call("normal", HostTensor.Normal(random, b, h, t, d), positions, hasPositions, inverse, ElementType.Float, random);
                }
        foreach (var type in new[] { ElementType.BFloat16, ElementType.Float16 })
            foreach (var inverse in new[] { false, true })
                yield return Call("normal", HostTensor.Normal(random, 2, 3, 33, 34), 40, true, inverse, type, random);
        foreach (var type in FloatTypes)
            yield return WithMaxima(Call("normal", HostTensor.Normal(random, 2, 3, 33, 34), 40, type == ElementType.Float16, true, type, random));
        foreach (var type in FloatTypes)
            yield return Call("side by side", HostTensor.Normal(random, 2, 3, 33, 34), 40, type != ElementType.Float, false, type, random, HeadLayout.Bshd);
        yield return Call("longer tables", HostTensor.Normal(random, 2, 2, 5, 8), 19, false, false, ElementType.Float, random);
        yield return Call("zeros", new HostTensor([1, 2, 3, 4], new float[24]), 3, false, false, ElementType.Float, random);
        foreach (var bad in new[] { float.NaN, float.PositiveInfinity, 1e30f })
        {
            var x = HostTensor.Normal(random, 1, 2, 9, 34);
            x.Elements[3] = x.Elements[34 + 20] = bad;
            yield return Call($"{bad}", x, 9, false, false, ElementType.Float, random);
        }
    }

    private static OpCall Call(string what, HostTensor x, int positions, bool hasPositions, bool inverse, ElementType type, Random random,
        HeadLayout layout = HeadLayout.Bhsd)
    {
        var (b, t, half) = (x.Sizes[0], x.Sizes[2], x.Sizes[3] / 2);
        var angles = Enumerable.Range(0, positions * (int)half).Select(i => (1 + i / (int)half) * Math.Pow(10000, -(double)(i % half) / half)).ToArray();
        var cos = new HostTensor([positions, half], [.. angles.Select(a => (float)Math.Cos(a))]);
        var sin = new HostTensor([positions, half], [.. angles.Select(a => (float)Math.Sin(a))]);
        var ids = new HostTensor([b, t], [.. Enumerable.Range(0, (int)(b * t)).Select(i => hasPositions ? random.Next(positions) : (float)(i % t))]);
        return new(
            $"{what} {x} {positions} {RotaryEmbedding.Overload(hasPositions, inverse, type, layout)}", hasPositions ? [x, cos, sin, ids] : [x, cos, sin],
            (build, inputs) =>
            {
                var input = type == ElementType.Float ? inputs[0] : Cast(build, inputs[0], type, "cast");
                var positionIds = hasPositions ? Cast(build, inputs[3], ElementType.Int64, "ids") : null;
                Value Laid(Value heads) => layout == HeadLayout.Bhsd ? heads
                    : build.Op($"{heads.Name}/laid", "Transpose", [heads], Attribute.Of("perm", [0L, 2L, 1L, 3L]));
                return [Laid(build.RotaryEmbedding(Laid(input), inputs[1], inputs[2], positionIds, inverse, "rotate", layout))];
            },
            () => [Oracle(Array.ConvertAll(x.Elements, v => Bits.Round(v, type)), cos, sin, ids, x.Sizes, inverse, type)]);
    }

    /// <summary>Two products and their sum: three roundings of at most the sum of their magnitudes. A 16-bit result is rounded once more.</summary>
    private static Expected Oracle(float[] x, HostTensor cos, HostTensor sin, HostTensor ids, long[] sizes, bool inverse, ElementType type)
    {
        var (heads, tokens, dim) = ((int)sizes[1], (int)sizes[2], (int)sizes[3]);
        var (y, magnitudes) = (new double[x.Length], new double[x.Length]);
        for (var i = 0; i < x.Length; i++)
        {
            var (d, t, b) = (i % dim, i / dim % tokens, i / dim / tokens / heads);
            var isFirst = d < dim / 2;
            var row = (int)ids.Elements[b * tokens + t] * (dim / 2) + d % (dim / 2);
            var other = x[isFirst ? i + dim / 2 : i - dim / 2];
            var sign = isFirst != inverse ? -1 : 1;
            y[i] = (double)x[i] * cos.Elements[row] + sign * (double)other * sin.Elements[row];
            magnitudes[i] = Math.Abs((double)x[i] * cos.Elements[row]) + Math.Abs((double)other * sin.Elements[row]);
        }
        return new Expected(y, i => double.IsFinite(y[i]) ? 3 * Epsilon * magnitudes[i] + Rounding(y[i], type) : 0);
    }
}
