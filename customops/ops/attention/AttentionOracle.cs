using Halo.Building;
using Halo.Ir;

namespace Halo.CustomOps.Cases;

/// <summary>An attention and its gradient by plain loops over every query and key in float64, with bounds on what float32 may be off.</summary>
/// <remarks>
/// u is the unit roundoff of float32. A score of D products is off by d = (D + 3) u s sum |q k| (products, sum, scaling), so a probability by the
/// factor e^(2 d), or e^d where the denominator is given; another 128 u hold the subtraction of up to 88 and fast_exp. Sums of n add n u.
/// Exponentials below the smallest normal float32 may be 0, which a last term of 2^-120 allows.
/// </remarks>
public sealed record AttentionOracle(
    int Batch, int Heads, int Groups, int Queries, int Keys, int Dim, bool IsCausal, float Scale = 0, long[]? Mask = null, long[]? Documents = null,
    int Window = 0)
{
    private const double U = 1.0 / (1 << 24);
    private const double Tiny = 1.0 / (1L << 60) / (1L << 60);

    public double UsedScale => Scale == 0 ? 1 / Math.Sqrt(Dim) : Scale;

    public long[] QuerySizes => [Batch, Heads, Queries, Dim];

    public long[] KeySizes => [Batch, Groups, Keys, Dim];

    public int Rows => Batch * Heads * Queries;

    public bool Sees(int b, int i, int j) => (!IsCausal || j <= i) && (Window == 0 || i - j < Window) && (Mask is null || Mask[b * Keys + j] != 0)
        && (Documents is null || Documents[b * Keys + i] == Documents[b * Keys + j]);

    public (Bounded Y, Bounded LogSumExp) Forward(double[] q, double[] k, double[] v)
    {
        var (y, logSumExp) = (new Bounded(Rows * Dim), new Bounded(Rows));
        for (var row = 0; row < Rows; row++)
        {
            var (scores, errors) = Scores(row, q, k);
            var visible = VisibleKeys(row);
            if (visible.Length == 0)
            {
                logSumExp.Values[row] = double.NegativeInfinity;
                continue;
            }
            var max = visible.Max(j => double.IsNaN(scores[j]) ? double.NegativeInfinity : scores[j]);
            var sum = visible.Sum(j => Math.Exp(scores[j] - max));
            var error = visible.Max(j => errors[j]);
            logSumExp.Values[row] = max + Math.Log(sum);
            logSumExp.Errors[row] = error + (Keys + 128) * U + 4 * U * (Math.Abs(max) + Math.Abs(logSumExp.Values[row]));
            foreach (var j in visible)
            {
                var p = Math.Exp(scores[j] - max) / sum;
                for (var d = 0; d < Dim; d++)
                {
                    var value = v[KeyAt(row, j) + d];
                    y.Add(row * Dim + d, p, value, (p * (Factor(2 * error) + 2 * (Keys + 1) * U) + Tiny) * Math.Abs(value));
                }
            }
        }
        return (y, logSumExp);
    }

    public (Bounded Q, Bounded K, Bounded V) Backward(double[] dy, double[] q, double[] k, double[] v, double[] y, double[] logSumExp)
    {
        var (dq, dk, dv) = (new Bounded(q.Length), new Bounded(k.Length), new Bounded(v.Length));
        var rowsOfPair = Heads / Groups * Queries;
        for (var row = 0; row < Rows; row++)
        {
            var (scores, errors) = Scores(row, q, k);
            double delta = 0, deltaMagnitude = 0;
            for (var d = 0; d < Dim; d++)
            {
                delta += dy[row * Dim + d] * y[row * Dim + d];
                deltaMagnitude += Math.Abs(dy[row * Dim + d] * y[row * Dim + d]);
            }
            foreach (var j in VisibleKeys(row))
            {
                var p = Math.Exp(scores[j] - logSumExp[row]);
                double dp = 0, magnitude = deltaMagnitude;
                for (var d = 0; d < Dim; d++)
                {
                    dp += dy[row * Dim + d] * v[KeyAt(row, j) + d];
                    magnitude += Math.Abs(dy[row * Dim + d] * v[KeyAt(row, j) + d]);
                }
                var ds = p * (dp - delta);
                var factor = Factor(errors[j] + U * Math.Abs(logSumExp[row]));
                var dsError = (p * (factor + (Dim + 4) * U) + Tiny) * magnitude;
                var dsMagnitude = p * magnitude;
                for (var d = 0; d < Dim; d++)
                {
                    var (query, key) = (row * Dim + d, KeyAt(row, j) + d);
                    dq.Add(query, ds, UsedScale * k[key], Math.Abs(UsedScale * k[key]) * (dsError + (Keys + 3) * U * dsMagnitude));
                    dk.Add(key, ds, UsedScale * q[query], Math.Abs(UsedScale * q[query]) * (dsError + (rowsOfPair + 3) * U * dsMagnitude));
                    dv.Add(key, p, dy[query], Math.Abs(dy[query]) * (p * (factor + (rowsOfPair + 1) * U) + Tiny));
                }
            }
        }
        return (dq, dk, dv);
    }

    private int[] VisibleKeys(int row) => [.. Enumerable.Range(0, Keys).Where(j => Sees(row / Queries / Heads, row % Queries, j))];

    private int KeyAt(int row, int j)
    {
        var (b, h) = (row / Queries / Heads, row / Queries % Heads);
        return ((b * Groups + h / (Heads / Groups)) * Keys + j) * Dim;
    }

    private (double[] Scores, double[] Errors) Scores(int row, double[] q, double[] k)
    {
        var (scores, errors) = (new double[Keys], new double[Keys]);
        for (var j = 0; j < Keys; j++)
        {
            for (var d = 0; d < Dim; d++)
            {
                var term = UsedScale * q[row * Dim + d] * k[KeyAt(row, j) + d];
                scores[j] += term;
                errors[j] += double.IsFinite(term) ? Math.Abs(term) * (Dim + 3) * U : 0; // an infinite score is exact, or makes its row NaN
            }
        }
        return (scores, errors);
    }

    private static double Factor(double error) => Math.Exp(error + 128 * U) - 1;
}

/// <summary>Sums of products, how far each sum may be off, the sum of the products' magnitudes, and that of their second factors' alone.</summary>
public sealed record Bounded(double[] Values, double[] Errors, double[] Magnitudes, double[] Factors)
{
    public Bounded(int count) : this(new double[count], new double[count], new double[count], new double[count])
    {
    }

    /// <summary>One product more; <paramref name="weight"/> is a probability, or a score's gradient.</summary>
    public void Add(int index, double weight, double factor, double error)
    {
        Values[index] += weight * factor;
        Errors[index] += error;
        Magnitudes[index] += Math.Abs(weight * factor);
        Factors[index] += Math.Abs(factor);
    }

    /// <param name="type">Of the result.</param>
    /// <param name="rounding">Of a value to it.</param>
    /// <param name="parts">
    /// Heads whose sums meet in an element: on a GPU each may be rounded to <paramref name="type"/> before they are added, as cuDNN does where heads share keys.
    /// </param>
    /// <remarks>Matrix units read weights in the type of the inputs: each is rounded by half a unit in its last place, and float16 ends at 2^-24.</remarks>
    public Expected ToExpected(ElementType type, Func<double, double> rounding, int parts = 1) =>
        new(Values, i => double.IsFinite(Values[i]) ? Errors[i] + rounding(Values[i]) : 0)
        {
            OnGpu = i => !double.IsFinite(Values[i]) ? 0 : type switch
            {
                ElementType.BFloat16 => (parts > 1 ? 2 : 1) * Magnitudes[i] / 256,
                ElementType.Float16 => (parts > 1 ? 2 : 1) * Magnitudes[i] / 2048 + (Factors[i] + (parts > 1 ? parts : 0)) / (1 << 25),
                _ => 0,
            },
        };
}

/// <summary>An attention with its inputs by head, as both operators are tested on it; for the layout bshd these are transposed, and its results back.</summary>
public sealed record AttentionInputs(
    string Name, AttentionOracle Oracle, HostTensor Q, HostTensor K, HostTensor V, ElementType Type = ElementType.Float, HeadLayout Layout = HeadLayout.Bhsd)
{
    public override string ToString() =>
        $"{Name} {Q} {K} {(Oracle.IsCausal ? "causal" : "full")} {Type.Name()}{(Layout == HeadLayout.Bhsd ? "" : " heads side by side")}";

    /// <summary>Heads (B, H, T, D) in the layout, and back.</summary>
    public Value Laid(GraphBuilder build, Value heads) =>
        Layout == HeadLayout.Bhsd ? heads : build.Op($"{heads.Name}/laid", "Transpose", [heads], Attribute.Of("perm", [0L, 2L, 1L, 3L]));

    /// <summary>Inputs that both operators take: mask and documents as the last of them, where there are some.</summary>
    public IEnumerable<HostTensor> Masks => new[] { Oracle.Mask, Oracle.Documents }.OfType<long[]>()
        .Select(ids => new HostTensor([Oracle.Batch, Oracle.Keys], Array.ConvertAll(ids, id => (float)id)));

    public static IEnumerable<AttentionInputs> All(Random random)
    {
        foreach (var oracle in new AttentionOracle[]
                 {
                     new(1, 1, 1, 1, 1, 2, true), new(2, 2, 2, 7, 7, 8, true), new(2, 4, 2, 33, 33, 8, true), new(1, 3, 1, 65, 65, 64, true, Scale: 0.3f),
                     new(2, 4, 2, 33, 33, 64, false), new(2, 4, 2, 7, 19, 8, false), new(1, 2, 1, 1, 33, 8, false), new(1, 2, 2, 33, 1, 2, false, Scale: -0.5f),
                 })
        {
            yield return Normal("normal", oracle, random);
        }
        foreach (var isCausal in new[] { true, false })
        {
            var plain = new AttentionOracle(2, 4, 2, 33, 33, 8, isCausal);
            long[] Ids(Func<int, int, long> id) => [.. Enumerable.Range(0, 66).Select(i => id(i / 33, i % 33))];
            var right = Ids((b, j) => j < 33 - 5 * b ? 1 : 0);
            var left = Ids((b, j) => j >= 3 + 9 * b ? 7 : 0);
            var documents = Ids((b, j) => (b == 0 ? 1 : -1) * (j / (9 + b)));
            yield return Normal("right padding", plain with { Mask = right }, random);
            yield return Normal("left padding", plain with { Mask = left }, random);
            yield return Normal("a row without keys", plain with { Mask = Ids((b, _) => b) }, random);
            yield return Normal("documents", plain with { Documents = documents }, random);
            yield return Normal("documents in turns", plain with { Documents = Ids((_, j) => j % 3) }, random);
            yield return Normal("padding and documents", plain with { Documents = documents, Mask = left }, random);
            foreach (var type in new[] { ElementType.BFloat16, ElementType.Float16 })
                yield return Normal("padding and documents", plain with { Documents = documents, Mask = right }, random, type);
        }
        yield return Normal("some keys", new AttentionOracle(2, 4, 2, 7, 19, 8, false, Mask: [.. Enumerable.Range(0, 38).Select(j => (long)(j % 2))]), random);
        foreach (var type in new[] { ElementType.Float, ElementType.BFloat16, ElementType.Float16 })
        {
            var plain = new AttentionOracle(2, 4, 2, 33, 33, 8, true);
            long[] ids = [.. Enumerable.Range(0, 66).Select(j => (long)(j / 9))], kept = [.. Enumerable.Range(0, 66).Select(j => j % 33 < 28 ? 1L : 0)];
            yield return Normal("plain", plain, random, type) with { Layout = HeadLayout.Bshd };
            yield return Normal("padding", plain with { Mask = kept }, random, type) with { Layout = HeadLayout.Bshd };
            yield return Normal("padding and documents", plain with { Mask = kept, Documents = ids }, random, type) with { Layout = HeadLayout.Bshd };
        }
        yield return Normal("other keys", new AttentionOracle(2, 4, 2, 7, 19, 8, false), random) with { Layout = HeadLayout.Bshd };
        yield return Normal("a window", new AttentionOracle(2, 4, 1, 33, 33, 8, true, Window: 5), random) with { Layout = HeadLayout.Bshd };
        yield return Normal("16 bits", new AttentionOracle(2, 6, 2, 65, 65, 64, true), random, ElementType.BFloat16);
        yield return Normal("16 bits", new AttentionOracle(2, 6, 2, 65, 65, 64, true), random, ElementType.Float16);

        var windowed = new AttentionOracle(2, 4, 2, 33, 33, 8, true, Window: 5);
        yield return Normal("window", windowed, random);
        yield return Normal("window of one key", windowed with { Window = 1 }, random);
        yield return Normal("window wider than the row", windowed with { Window = 100 }, random);
        yield return Normal("window, padding and documents", windowed with
        {
            Mask = [.. Enumerable.Range(0, 66).Select(j => j % 33 >= 4 ? 1L : 0)],
            Documents = [.. Enumerable.Range(0, 66).Select(j => (long)(j / 10))],
        }, random);
        foreach (var type in new[] { ElementType.BFloat16, ElementType.Float16 })
            yield return Normal("window", new AttentionOracle(1, 2, 1, 150, 150, 64, true, Window: 70), random, type);

        var outliers = Normal("logits of +-1e4", new AttentionOracle(1, 2, 1, 33, 33, 8, true, Scale: 1), random);
        for (var i = 0; i < 33; i++)
        {
            outliers.Q.Elements[8 * i] = 100;
            outliers.K.Elements[8 * i] = i % 5 == 0 ? 100 : i % 5 == 1 ? -100 : 0;
        }
        yield return outliers;
        var zeros = Normal("zeros", new AttentionOracle(1, 2, 1, 19, 19, 8, true), random);
        Array.Clear(zeros.Q.Elements);
        Array.Clear(zeros.V.Elements);
        yield return zeros;
    }

    /// <summary>A full batch of llama-tiny, with the mask that says so.</summary>
    public static AttentionInputs Benchmark(Random random) => Normal("benchmark", new AttentionOracle(
        Tiny.Batch, Tiny.Heads, Tiny.Groups, Tiny.Sequence, Tiny.Sequence, Tiny.Dim, true, Mask: [.. Enumerable.Repeat(1L, Tiny.Tokens)]), random);

    public static AttentionInputs Normal(string name, AttentionOracle oracle, Random random, ElementType type = ElementType.Float)
    {
        HostTensor Rounded(long[] sizes) => new(sizes, Array.ConvertAll(HostTensor.Normal(random, sizes).Elements, x => Bits.Round(x, type)));
        return new(name, oracle, Rounded(oracle.QuerySizes), Rounded(oracle.KeySizes), Rounded(oracle.KeySizes), type);
    }

    public static double[] Exact(HostTensor x) => Array.ConvertAll(x.Elements, v => (double)v);
}
