using Halo.Building;
using Halo.Ir;

namespace Halo.CustomOps.Cases;

/// <summary>Tensors that go somewhere and come back: any type and rank, no elements, what is not finite.</summary>
/// <remarks>Whether copies are waited for shows in whole graphs: <c>tests/Passes/OffloadResidualsTests.cs</c>, <c>tests/Runner/Gpu/GpuMemoryTests.cs</c>.</remarks>
public abstract class HostCopyCase(string opType) : OpCase(opType)
{
    public override IEnumerable<OpCall> Calls(Random random)
    {
        foreach (var sizes in new long[][] { [1], [3, 5], [0, 4], [2, 3, 17], [40, 101] })
            yield return Call(HostTensor.Normal(random, sizes), HostTensor.Normal(random, sizes), ElementType.Float);
        foreach (var type in FloatTypes)
            yield return Call(HostTensor.Normal(random, 5, 33), HostTensor.Normal(random, 5, 33), type);
        yield return Call(new([4], [float.NaN, float.PositiveInfinity, -0f, 1e-45f]), HostTensor.Normal(random, 4), ElementType.Float);
    }

    /// <summary>The node under test.</summary>
    /// <param name="build">Where.</param>
    /// <param name="x">What is given back.</param>
    /// <param name="other">Of the same type and sizes.</param>
    protected abstract Value Node(GraphBuilder build, Value x, Value other);

    private OpCall Call(HostTensor x, HostTensor other, ElementType type) => new($"{x} {type}", [x, other], (build, inputs) =>
    {
        var typed = InType(build, inputs, type);
        return [Node(build, typed[0], typed[1])];
    }, () => [new(Read(x, type), _ => 0)]);
}

/// <inheritdoc/>
public sealed class OffloadStartCase() : HostCopyCase("OffloadStart")
{
    protected override Value Node(GraphBuilder build, Value x, Value other) => build.CopyWait(build.OffloadStart(other, x, "start"), [x], "wait");
}

/// <inheritdoc/>
public sealed class FetchStartCase() : HostCopyCase("FetchStart")
{
    protected override Value Node(GraphBuilder build, Value x, Value other) => build.CopyWait(build.FetchStart(x, "start"), [x, other], "wait");
}

/// <summary>Of what is not pending.</summary>
public sealed class CopyWaitCase() : HostCopyCase("CopyWait")
{
    protected override Value Node(GraphBuilder build, Value x, Value other) => build.CopyWait(x, [other], "wait");
}
