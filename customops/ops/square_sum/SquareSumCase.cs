using Halo.Ir;

namespace Halo.CustomOps.Cases;

/// <summary>Each type; no element, one, and many; sums that 8 bits do not hold; what is not finite.</summary>
public sealed class SquareSumCase() : OpCase("SquareSum")
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
            yield return Call(new([1000], [.. Enumerable.Repeat(1f, 1000)]), type);
        }
        yield return Call(new([3], [1, float.NaN, 2]), ElementType.Float);
        yield return Call(new([3], [1, float.NegativeInfinity, 2]), ElementType.BFloat16);
    }

    /// <summary>All terms are of one sign: the error of a sum in pieces of float32 is a few units, in whatever order; the body's runtime may add them
    /// one by one.</summary>
    private static OpCall Call(HostTensor x, ElementType type) => new($"{x} {type}", [x],
        (build, inputs) => [build.SquareSum(InType(build, inputs, type)[0], "squares")],
        () =>
        {
            var sum = Read(x, type).Sum(v => v * v);
            return [new([sum], _ => Epsilon * sum * (4 + Math.Sqrt(x.Elements.Length)))];
        });
}
