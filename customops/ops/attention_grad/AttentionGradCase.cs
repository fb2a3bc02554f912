using Halo.Ir;

namespace Halo.CustomOps.Cases;

/// <summary>The cases of Attention. Y and logSumExp come from the oracle, rounded to their types.</summary>
public sealed class AttentionGradCase() : OpCase("AttentionGrad")
{
    public override IEnumerable<OpBenchmark> Benchmarks =>
    [
        new(OpType, "float", Tiny.HeadsShape + ", 2 groups", random => Call(AttentionInputs.Benchmark(random), random)) { Operations = 5 * Tiny.ScoreOperations },
    ];

    public override IEnumerable<OpCall> Calls(Random random) => AttentionInputs.All(random).Select(x => Call(x, random));

    private static OpCall Call(AttentionInputs x, Random random)
    {
        var (q, k, v) = (AttentionInputs.Exact(x.Q), AttentionInputs.Exact(x.K), AttentionInputs.Exact(x.V));
        var (exactY, exactLogSumExp) = x.Oracle.Forward(q, k, v);
        var dy = new HostTensor(x.Q.Sizes, Array.ConvertAll(HostTensor.Normal(random, x.Q.Sizes).Elements, e => Bits.Round(e, x.Type)));
        var y = new HostTensor(x.Q.Sizes, Array.ConvertAll(exactY.Values, e => Bits.Round((float)e, x.Type)));
        var logSumExp = new HostTensor(x.Q.Sizes[..3], Array.ConvertAll(exactLogSumExp.Values, e => (float)e));
        return new(
            $"{x}", [dy, x.Q, x.K, x.V, y, logSumExp, .. x.Masks],
            (build, inputs) =>
            {
                Value Typed(int i) => x.Laid(build, x.Type == ElementType.Float ? inputs[i] : Cast(build, inputs[i], x.Type, "cast"));
                Value Ids(int i) => Cast(build, inputs[i], ElementType.Int64, "ids");
                var mask = x.Oracle.Mask is null ? null : Ids(6);
                var documents = x.Oracle.Documents is null ? null : Ids(mask is null ? 6 : 7);
                var gradients = build.AttentionGrad(Typed(0), Typed(1), Typed(2), Typed(3), Typed(4), inputs[5], mask, documents,
                    x.Oracle.IsCausal, x.Oracle.Scale, "gradient", x.Oracle.Window, x.Layout);
                return [x.Laid(build, gradients.Q), x.Laid(build, gradients.K), x.Laid(build, gradients.V)];
            },
            () =>
            {
                var gradients = x.Oracle.Backward(AttentionInputs.Exact(dy), q, k, v, AttentionInputs.Exact(y), AttentionInputs.Exact(logSumExp));
                Expected Of(Bounded g, int parts) => g.ToExpected(x.Type, e => Rounding(e, x.Type), parts);
                var shared = x.Oracle.Heads / x.Oracle.Groups;
                return [Of(gradients.Q, 1), Of(gradients.K, shared), Of(gradients.V, shared)];
            })
        {
            // Y and logSumExp are float32, so the slope is that of the function to their rounding; scores of 1e4 amplify it.
            GradientOf = x.Type == ElementType.Float && !x.ToString().Contains("1e4", StringComparison.Ordinal)
                ? new ScalarFunction([q, k, v], p => x.Oracle.Forward(p[0], p[1], p[2]).Y.Values.Zip(dy.Elements, (a, b) => a * b).Sum()) : null,
        };
    }
}
