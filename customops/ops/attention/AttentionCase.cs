using Halo.Ir;

namespace Halo.CustomOps.Cases;

/// <summary>Every mask, grouped and ungrouped heads, sizes that no vector width divides, each type, outliers, values that are not finite.</summary>
public sealed class AttentionCase() : OpCase("Attention")
{
    public override IEnumerable<OpBenchmark> Benchmarks =>
    [
        new(OpType, "float", Tiny.HeadsShape + ", 2 groups", random => Call(AttentionInputs.Benchmark(random))) { Operations = 2 * Tiny.ScoreOperations },
    ];

    public override IEnumerable<OpCall> Calls(Random random) => AttentionInputs.All(random).Concat(NotFinite(random)).Select(Call);

    /// <summary>In V at the first key, which all queries see; in Q at one query; in K at one key, which the queries behind it see.</summary>
    private static IEnumerable<AttentionInputs> NotFinite(Random random)
    {
        foreach (var bad in new[] { float.NaN, float.PositiveInfinity })
        {
            AttentionInputs Fresh(string where) => AttentionInputs.Normal($"{bad} in {where}", new AttentionOracle(1, 2, 1, 33, 33, 8, true), random);
            var (q, k, v) = (Fresh("Q"), Fresh("K"), Fresh("V"));
            q.Q.Elements[8 * 20 + 3] = bad;
            k.K.Elements[8 * 20 + 3] = bad;
            v.V.Elements[5] = bad;
            yield return q;
            yield return k;
            yield return v;
        }
    }

    private static OpCall Call(AttentionInputs x) => new(
        $"{x}", [x.Q, x.K, x.V, .. x.Masks],
        (build, inputs) =>
        {
            Value Typed(int i) => x.Laid(build, x.Type == ElementType.Float ? inputs[i] : Cast(build, inputs[i], x.Type, "cast"));
            Value Ids(int i) => Cast(build, inputs[i], ElementType.Int64, "ids");
            var mask = x.Oracle.Mask is null ? null : Ids(3);
            var documents = x.Oracle.Documents is null ? null : Ids(mask is null ? 3 : 4);
            var (y, logSumExp) = build.Attention(Typed(0), Typed(1), Typed(2), mask, documents, x.Oracle.IsCausal, x.Oracle.Scale, "attention",
                x.Oracle.Window, x.Layout);
            return [x.Laid(build, y), logSumExp];
        },
        () =>
        {
            var (y, logSumExp) = x.Oracle.Forward(AttentionInputs.Exact(x.Q), AttentionInputs.Exact(x.K), AttentionInputs.Exact(x.V));
            return [y.ToExpected(x.Type, v => Rounding(v, x.Type)), logSumExp.ToExpected(x.Type, _ => 0)];
        });
}
