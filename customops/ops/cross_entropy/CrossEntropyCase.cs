using Halo.Ir;

namespace Halo.CustomOps.Cases;

/// <summary>One row and many, one class and many; ignored rows, no row that counts; each type; large, masked and non-finite logits.</summary>
public sealed class CrossEntropyCase() : OpCase("CrossEntropy")
{
    public override IEnumerable<OpBenchmark> Benchmarks =>
    [
        new(OpType, "float", "2048 x 2048", random =>
            Call(HostTensor.Normal(random, Tiny.Tokens, Tiny.Vocabulary), Labels(random, Tiny.Tokens, Tiny.Vocabulary), ElementType.Float, ""))
        {
            Bytes = Tiny.Tensors(1, Tiny.Tokens * Tiny.Vocabulary),
        },
    ];

    public override IEnumerable<OpCall> Calls(Random random)
    {
        foreach (var (n, v) in new[] { (1, 1), (1, 17), (5, 1), (7, 33), (100, 500), (3, 20000) })
        {
            yield return Call(HostTensor.Normal(random, n, v), Labels(random, n, v), ElementType.Float, "");
            yield return Call(HostTensor.Normal(random, n, v), Labels(random, n, v, ignored: -100), ElementType.Float, "with ignored rows");
        }
        foreach (var type in FloatTypes)
            yield return Call(HostTensor.Normal(random, 5, 33), Labels(random, 5, 33, ignored: -100), type, $"{type}");
        yield return Call(HostTensor.Normal(random, 30, 7), Labels(random, 30, 7), ElementType.Float, "ignoring a class", ignoreIndex: 3);
        yield return Call(HostTensor.Normal(random, 2, 7), new([2], [-100, -100]), ElementType.Float, "no row counts");
        foreach (var scale in new[] { 0f, 30f, 1e4f })
            yield return Call(Scaled(HostTensor.Normal(random, 9, 40), scale), Labels(random, 9, 40), ElementType.Float, $"times {scale}");
        foreach (var value in new[] { float.NaN, float.PositiveInfinity, float.NegativeInfinity, 1e30f })
        {
            foreach (var (row, label) in new[] { (0, 5), (1, 17), (2, -100) })
            {
                var (logits, labels) = (HostTensor.Normal(random, 3, 40), new HostTensor([3], [5, 6, -100]));
                logits.Elements[row * 40 + 17] = value;
                labels.Elements[row] = label;
                yield return Call(logits, labels, ElementType.Float, $"with {value} in row {row}");
            }
        }
    }

    public static HostTensor Labels(Random random, int n, int v, long? ignored = null) =>
        new([n], [.. Enumerable.Range(0, n).Select(i => ignored is { } index && i % 3 == 1 ? index : (float)random.Next(v))]);

    public static HostTensor Scaled(HostTensor x, float scale) => x with { Elements = Array.ConvertAll(x.Elements, v => v * scale) };

    /// <summary>log(sum(e^x)) of each row in float64.</summary>
    public static double[] LogSumExp(double[] logits, int rows)
    {
        var classes = logits.Length / rows;
        return
        [
            .. Enumerable.Range(0, rows).Select(row =>
            {
                var x = logits.AsSpan(row * classes, classes).ToArray();
                var shift = x.Where(double.IsFinite).DefaultIfEmpty(0).Max();
                return shift + Math.Log(x.Sum(v => Math.Exp(v - shift)));
            }),
        ];
    }

    public static double Loss(double[] logits, HostTensor labels, long ignoreIndex)
    {
        var rows = labels.Elements.Length;
        var sums = LogSumExp(logits, rows);
        var losses = Enumerable.Range(0, rows).Where(row => (long)labels.Elements[row] != ignoreIndex)
            .Select(row => sums[row] - logits[row * (logits.Length / rows) + (int)labels.Elements[row]]).ToArray();
        return losses.Sum() / losses.Length;
    }

    private static OpCall Call(
        HostTensor logits, HostTensor labels, ElementType type, string what, long ignoreIndex = -100) => new(
        $"{logits} {what}", [logits, labels],
        (build, inputs) =>
        {
            var (loss, sums) = build.CrossEntropy(
                InType(build, inputs.Take(1), type)[0], Cast(build, inputs[1], ElementType.Int64, "labels"), "loss", ignoreIndex);
            return [loss, sums];
        },
        () => Oracle(Read(logits, type), labels, ignoreIndex));

    /// <summary>
    /// The sum of V exponentials, each off by 4 units of roundoff and by one of its exponent, which is at most log V + 1 on average: as relative
    /// errors of the sum they are absolute ones of the logarithm. Then 3 roundings of the result and one of the logit.
    /// </summary>
    private static Expected[] Oracle(double[] logits, HostTensor labels, long ignoreIndex)
    {
        var rows = labels.Elements.Length;
        var classes = logits.Length / rows;
        var sums = LogSumExp(logits, rows);
        var loss = Loss(logits, labels, ignoreIndex);
        double Tolerance(int row) => Epsilon * (classes + 6 + Math.Log(classes) + 3 * Math.Abs(sums[row]));
        var counted = Enumerable.Range(0, rows).Where(row => (long)labels.Elements[row] != ignoreIndex).ToArray();
        var lossTolerance = counted.Sum(row => Tolerance(row) + 2 * Epsilon * Math.Abs(logits[row * classes + (int)labels.Elements[row]])) / counted.Length
            + 2 * Epsilon * Math.Abs(loss);
        return [new([loss], _ => lossTolerance), new(sums, Tolerance)];
    }
}
