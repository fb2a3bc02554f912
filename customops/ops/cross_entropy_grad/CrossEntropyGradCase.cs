using Halo.Ir;

namespace Halo.CustomOps.Cases;

/// <summary>One row and many, one class and many; ignored rows, no row that counts; each type; large, masked and non-finite logits.</summary>
public sealed class CrossEntropyGradCase() : OpCase("CrossEntropyGrad")
{
    public override IEnumerable<OpBenchmark> Benchmarks =>
    [
        new(OpType, "float", "2048 x 2048", random =>
            Call(HostTensor.Normal(random, Tiny.Tokens, Tiny.Vocabulary), CrossEntropyCase.Labels(random, Tiny.Tokens, Tiny.Vocabulary), ElementType.Float, ""))
        {
            Bytes = Tiny.Tensors(2, Tiny.Tokens * Tiny.Vocabulary),
        },
    ];

    public override IEnumerable<OpCall> Calls(Random random)
    {
        foreach (var (n, v) in new[] { (1, 1), (1, 17), (5, 1), (7, 33), (100, 500), (3, 20000) })
        {
            yield return Call(HostTensor.Normal(random, n, v), CrossEntropyCase.Labels(random, n, v), ElementType.Float, "");
            yield return Call(HostTensor.Normal(random, n, v), CrossEntropyCase.Labels(random, n, v, ignored: -100), ElementType.Float, "with ignored rows");
        }
        foreach (var type in FloatTypes)
            yield return Call(HostTensor.Normal(random, 5, 33), CrossEntropyCase.Labels(random, 5, 33, ignored: -100), type, $"{type}");
        yield return Call(HostTensor.Normal(random, 30, 7), CrossEntropyCase.Labels(random, 30, 7), ElementType.Float, "ignoring a class", ignoreIndex: 3);
        yield return Call(HostTensor.Normal(random, 2, 7), new([2], [-100, -100]), ElementType.Float, "no row counts", isSmooth: false);
        foreach (var scale in new[] { 0f, 30f, 1e4f })
        {
            var logits = CrossEntropyCase.Scaled(HostTensor.Normal(random, 9, 40), scale);
            yield return Call(logits, CrossEntropyCase.Labels(random, 9, 40), ElementType.Float, $"times {scale}", isSmooth: scale < 100);
        }
        foreach (var value in new[] { float.NaN, float.PositiveInfinity, float.NegativeInfinity, 1e30f })
        {
            foreach (var row in new[] { 0, 2 })
            {
                var logits = HostTensor.Normal(random, 3, 40);
                logits.Elements[row * 40 + 17] = value;
                yield return Call(logits, new HostTensor([3], [5, 17, -100]), ElementType.Float, $"with {value} in row {row}", isSmooth: false);
            }
        }
    }

    private static OpCall Call(
        HostTensor logits, HostTensor labels, ElementType type, string what, long ignoreIndex = -100, bool isSmooth = true)
    {
        const float DLoss = -0.75f;
        var read = Read(logits, type);
        var sums = new HostTensor(labels.Sizes, Array.ConvertAll(CrossEntropyCase.LogSumExp(read, labels.Elements.Length), v => (float)v));
        return new OpCall($"{logits} {what}", [new HostTensor([], [DLoss]), logits, labels, sums],
            (build, inputs) =>
            [
                build.CrossEntropyGrad(inputs[0], InType(build, [inputs[1]], type)[0], Cast(build, inputs[2], ElementType.Int64, "labels"),
                    inputs[3], "gradient", ignoreIndex),
            ],
            () => [Oracle(DLoss, read, labels, sums.Elements, ignoreIndex, type)])
        {
            GradientOf = isSmooth ? new ScalarFunction([read], p => DLoss * CrossEntropyCase.Loss(p[0], labels, ignoreIndex)) : null,
        };
    }

    /// <summary>
    /// e^x is off by 4 units of roundoff, and by one of its exponent; the difference and the scaling by at most 4 of the result. What fast_exp
    /// flushes is below 2^-126.
    /// </summary>
    private static Expected Oracle(float dLoss, double[] logits, HostTensor labels, float[] sums, long ignoreIndex, ElementType type)
    {
        var classes = logits.Length / sums.Length;
        var scale = dLoss / (double)labels.Elements.Count(label => (long)label != ignoreIndex);
        var (dLogits, tolerance) = (new double[logits.Length], new double[logits.Length]);
        for (var i = 0; i < logits.Length; i++)
        {
            var (row, column) = (i / classes, i % classes);
            var label = (long)labels.Elements[row];
            if (label == ignoreIndex)
                continue;
            var p = Math.Exp(logits[i] - sums[row]);
            dLogits[i] = (p - (column == label ? 1 : 0)) * scale;
            tolerance[i] = Epsilon * Math.Abs(scale) * p * (4 + Math.Abs(logits[i] - sums[row])) + 4 * Epsilon * Math.Abs(dLogits[i]) + Math.ScaleB(1, -126);
            tolerance[i] = double.IsNaN(tolerance[i]) ? 0 : tolerance[i]; // 0 times Inf, where p is exactly 0
        }
        return new(dLogits, i => tolerance[i] + Rounding(dLogits[i], type));
    }
}
