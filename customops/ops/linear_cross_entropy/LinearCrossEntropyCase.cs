using Halo.Ir;

namespace Halo.CustomOps.Cases;

/// <summary>One row and many, one class and many; chunks of one row, of some, of all; ignored rows; each type, in itself and in float32.</summary>
public sealed class LinearCrossEntropyCase() : OpCase("LinearCrossEntropy")
{
    public override IEnumerable<OpBenchmark> Benchmarks =>
    [
        new(OpType, "float", "2048 x 256 x 2048",
            random => Call(random, Tiny.Tokens, Tiny.Hidden, Tiny.Vocabulary, 512, ElementType.Float, ElementType.Float, null))
        {
            Operations = 6.0 * Tiny.Tokens * Tiny.Hidden * Tiny.Vocabulary,
        },
    ];

    public override IEnumerable<OpCall> Calls(Random random)
    {
        foreach (var (n, h, v, chunk) in new[] { (1, 1, 1, 1), (1, 4, 17, 8), (7, 5, 33, 2), (30, 8, 200, 30), (30, 8, 200, 7) })
        {
            yield return Call(random, n, h, v, chunk, ElementType.Float, ElementType.Float, null);
            yield return Call(random, n, h, v, chunk, ElementType.Float, ElementType.Float, -100);
        }
        foreach (var type in FloatTypes.Skip(1))
        {
            yield return Call(random, 12, 8, 40, 5, type, type, -100);
            yield return Call(random, 12, 8, 40, 5, type, ElementType.Float, null);
        }
        yield return Call(random, 9, 8, 20, 4, ElementType.Float, ElementType.Float, 3, ignoreIndex: 3);
        foreach (var type in FloatTypes)
            yield return Call(random, 12, 8, 40, 5, type, ElementType.Undefined, -100);
    }

    private static OpCall Call(Random random, int n, int h, int v, int chunk, ElementType type, ElementType to, long? ignored, long ignoreIndex = -100)
    {
        const float DLoss = -0.75f;
        var (x, w, labels) = (HostTensor.Normal(random, n, h), HostTensor.Normal(random, v, h), CrossEntropyCase.Labels(random, n, v, ignored));
        var (readX, readW) = (Read(x, type), Read(w, type));
        return new OpCall($"{x} {w} by {chunk}, {type} {(to == ElementType.Undefined ? "over a frozen W" : $"to {to}")}{(ignored is null ? "" : $", some {ignored}")}", [x, w, labels, new HostTensor([], [DLoss])],
            (build, inputs) =>
            {
                var typed = InType(build, inputs.Take(2), type);
                var classes = Cast(build, inputs[2], ElementType.Int64, "labels");
                if (to == ElementType.Undefined)
                {
                    var (only, error) = build.LinearCrossEntropy(typed[0], typed[1], classes, inputs[3], chunk, "loss", ignoreIndex);
                    return [only, error];
                }
                var (loss, dx, dw) = build.LinearCrossEntropy(typed[0], typed[1], classes, inputs[3], chunk, to, "loss", ignoreIndex);
                return [loss, dx, dw];
            },
            () => to == ElementType.Undefined ? Oracle(DLoss, readX, readW, labels, h, ignoreIndex, type, ElementType.Float)[..2]
                : Oracle(DLoss, readX, readW, labels, h, ignoreIndex, type, to));
    }

    /// <summary>
    /// By logits in float64, whole. A logit is off by the roundings of H terms and half a unit of its type, its gradient by as much times the probability, and
    /// by half a unit of itself; what is multiplied by it, by the sum of those times the other factor. Each of up to n chunks may round dW once.
    /// </summary>
    private static Expected[] Oracle(float dLoss, double[] x, double[] w, HostTensor labels, int h, long ignoreIndex, ElementType type, ElementType to)
    {
        var (n, v) = (labels.Elements.Length, w.Length / h);
        var logits = new double[n * v];
        var size = new double[n * v]; // the sum of magnitudes
        for (var i = 0; i < n * v; i++)
        {
            for (var c = 0; c < h; c++)
            {
                logits[i] += x[i / v * h + c] * w[i % v * h + c];
                size[i] += Math.Abs(x[i / v * h + c] * w[i % v * h + c]);
            }
        }
        var sums = CrossEntropyCase.LogSumExp(logits, n);
        var scale = Math.Abs(dLoss) / labels.Elements.Count(label => (long)label != ignoreIndex);
        var (dx, dw, dxOff, dwOff) = (new double[n * h], new double[v * h], new double[n * h], new double[v * h]);
        double lossOff = 0;
        for (var row = 0; row < n; row++)
        {
            var label = (long)labels.Elements[row];
            if (label == ignoreIndex)
                continue;
            double Off(int i) => (h + 1) * Epsilon * size[i] + Rounding(logits[i], type);
            var most = Enumerable.Range(row * v, v).Max(Off); // of any logit, and so of their logSumExp
            lossOff += (2 * most + Epsilon * (v + 6 + 3 * Math.Abs(sums[row]))) * scale / Math.Abs(dLoss);
            for (var k = 0; k < v; k++)
            {
                var i = row * v + k;
                var p = Math.Exp(logits[i] - sums[row]);
                var d = (p - (k == label ? 1 : 0)) * dLoss / Math.Abs(dLoss) * scale;
                var off = scale * p * (2 * most + Epsilon * (v + 8 + Math.Abs(logits[i] - sums[row]))) + 4 * Epsilon * scale
                    + Rounding(Math.Abs(d) + scale * p * most, type);
                for (var c = 0; c < h; c++)
                {
                    dx[row * h + c] += d * w[k * h + c];
                    dw[k * h + c] += d * x[row * h + c];
                    dxOff[row * h + c] += (off + v * Epsilon * Math.Abs(d)) * Math.Abs(w[k * h + c]);
                    dwOff[k * h + c] += (off + n * Epsilon * Math.Abs(d)) * Math.Abs(x[row * h + c]) + Rounding(d * x[row * h + c], to);
                }
            }
        }
        var loss = CrossEntropyCase.Loss(logits, labels, ignoreIndex);
        return [new([loss], _ => lossOff + 4 * Epsilon * Math.Abs(loss)), new(dx, i => dxOff[i] + 2 * Rounding(Math.Abs(dx[i]) + dxOff[i], type)),
            new(dw, i => dwOff[i] + 2 * Rounding(Math.Abs(dw[i]) + dwOff[i], to))];
    }
}
