using Halo.Ir;

namespace Halo.CustomOps.Cases;

/// <summary>
/// One row and many, one place and many, ids all equal, all different and negative; parts of a table; each type, in itself and in float32; what is not finite.
/// </summary>
public sealed class EmbeddingGradCase() : OpCase("EmbeddingGrad")
{
    public override IEnumerable<OpBenchmark> Benchmarks =>
    [
        new(OpType, "float", "2048 x 256 into 2048", random =>
            Call(HostTensor.Normal(random, Tiny.Tokens, Tiny.Hidden),
                Ids(Tiny.Tokens, _ => random.Next(Tiny.Vocabulary)), Tiny.Vocabulary, ElementType.Float, ElementType.Float, ""))
        {
            Bytes = Tiny.Tensors(2, Tiny.Tokens * Tiny.Hidden),
        },
    ];

    public override IEnumerable<OpCall> Calls(Random random)
    {
        foreach (var (n, c, v) in new[] { (1, 1, 1), (1, 17, 5), (7, 33, 3), (64, 8, 100), (300, 40, 7) })
            yield return Call(HostTensor.Normal(random, n, c), Ids(n, _ => random.Next(-v, v)), v, ElementType.Float, ElementType.Float, "any");
        yield return Call(HostTensor.Normal(random, 90, 5), Ids(90, _ => 2), 4, ElementType.Float, ElementType.Float, "all equal");
        yield return Call(HostTensor.Normal(random, 50, 5), Ids(50, i => 49 - i), 60, ElementType.Float, ElementType.Float, "all different");
        foreach (var (first, rows) in new[] { (0, 3), (3, 4), (7, 2) })
        {
            yield return Call(HostTensor.Normal(random, 40, 9), Ids(40, _ => random.Next(-9, 9)), rows, ElementType.Float, ElementType.Float, "a part",
                part: (first, 9));
        }
        foreach (var type in FloatTypes)
        {
            yield return Call(HostTensor.Normal(random, 40, 9), Ids(40, _ => random.Next(6)), 6, type, ElementType.Float, $"{type}");
            yield return Call(HostTensor.Normal(random, 40, 9), Ids(40, _ => random.Next(6)), 6, type, type, $"{type} in {type}");
        }
        foreach (var value in new[] { float.NaN, float.PositiveInfinity })
        {
            var dY = HostTensor.Normal(random, 4, 6);
            dY.Elements[8] = value;
            yield return Call(dY, Ids(4, i => i % 3), 3, ElementType.Float, ElementType.Float, $"with {value}", isSmooth: false);
        }
    }

    private static HostTensor Ids(int count, Func<int, int> id) => new([count], [.. Enumerable.Range(0, count).Select(i => (float)id(i))]);

    private static OpCall Call(HostTensor dY, HostTensor ids, int rows, ElementType type, ElementType to, string what, bool isSmooth = true,
        (int First, int Of)? part = null)
    {
        var (first, of) = part ?? (0, rows);
        var read = Read(dY, type);
        return new OpCall($"{dY} to {rows} rows, {what}", [dY, ids],
            (build, inputs) =>
            {
                var (typed, numbers) = (InType(build, [inputs[0]], type)[0], Cast(build, inputs[1], ElementType.Int64, "ids"));
                return [part is null ? build.EmbeddingGrad(typed, numbers, rows, to, "sum")
                    : build.EmbeddingGradOfPart(typed, numbers, first, rows, of, to, "sum")];
            },
            () => [Oracle(read, ids, first, rows, of, to)])
        {
            // The table itself does not matter: what is taken from it is linear.
            GradientOf = isSmooth ? new ScalarFunction([new double[rows * dY.Sizes[1]]], p => Taken(p[0], read, ids, first, of)) : null,
        };
    }

    private static double Taken(double[] part, double[] dY, HostTensor ids, int first, int of)
    {
        var (columns, sum) = (dY.Length / ids.Elements.Length, 0.0);
        for (var i = 0; i < dY.Length; i++)
        {
            var at = (Row(ids, i / columns, of) - first) * columns + i % columns;
            sum += at >= 0 && at < part.Length ? dY[i] * part[at] : 0;
        }
        return sum;
    }

    /// <summary>n terms are added one after the other: n roundings of at most the sum of magnitudes.</summary>
    private static Expected Oracle(double[] dY, HostTensor ids, int first, int rows, int of, ElementType to)
    {
        var columns = dY.Length / ids.Elements.Length;
        var (sums, magnitudes) = (new double[rows * columns], new double[rows * columns]);
        for (var i = 0; i < dY.Length; i++)
        {
            var at = (Row(ids, i / columns, of) - first) * columns + i % columns;
            if (at < 0 || at >= sums.Length)
                continue;
            sums[at] += dY[i];
            magnitudes[at] += Math.Abs(dY[i]);
        }
        return new(sums, i => double.IsFinite(magnitudes[i]) ? ids.Elements.Length * Epsilon * magnitudes[i] + Rounding(sums[i], to) : 0);
    }

    private static int Row(HostTensor ids, int i, int rows) => (int)ids.Elements[i] is var id and < 0 ? id + rows : (int)ids.Elements[i];
}
