using Halo.Ir;

namespace Halo.CustomOps.Cases;

/// <summary>Each type; one element and many, the largest of either sign at the end; what is not finite. Exact.</summary>
public sealed class AbsoluteMaxCase() : OpCase("AbsoluteMax")
{
    public override IEnumerable<OpBenchmark> Benchmarks =>
    [
        new(OpType, "float", "2048 x 704", random => Call(HostTensor.Normal(random, Tiny.Tokens, Tiny.Ffn), ElementType.Float))
        {
            Bytes = Tiny.Tensors(1, Tiny.Tokens * Tiny.Ffn),
        },
    ];

    public override IEnumerable<OpCall> Calls(Random random)
    {
        foreach (var type in FloatTypes)
        {
            foreach (var sizes in new long[][] { [], [1], [7], [3, 41], [5, 3001] })
                yield return Call(HostTensor.Normal(random, sizes), type);
            yield return Call(new([1001], [.. Enumerable.Repeat(0.5f, 1000), -2]), type);
            yield return Call(new([4], [-0f, 0, -0f, 0]), type);
        }
        yield return Call(new([3], [1, float.NaN, 2]), ElementType.Float);
        yield return Call(new([2], [float.PositiveInfinity, float.NaN]), ElementType.BFloat16);
        yield return Call(new([3], [1, float.NegativeInfinity, 2]), ElementType.BFloat16);
    }

    private static OpCall Call(HostTensor x, ElementType type) => new($"{x} {type}", [x],
        (build, inputs) => [build.AbsoluteMax(InType(build, inputs, type)[0], "largest")],
        () =>
        {
            var values = Read(x, type);
            return [new([values.Any(double.IsNaN) ? double.NaN : values.Max(Math.Abs)], _ => 0)];
        });
}
