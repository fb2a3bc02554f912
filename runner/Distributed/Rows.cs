using Halo.Ir;
using Halo.Passes.Sharding;

namespace Halo.Runner.Distributed;

/// <summary>Where the rows of a rank's buffers lie in the whole tensors that files hold.</summary>
/// <param name="Plan">What is split.</param>
/// <param name="Whole">The whole shape of each parameter.</param>
internal sealed record Rows(ShardPlan Plan, IReadOnlyDictionary<string, Shape> Whole)
{
    /// <summary>Buffers have all rows.</summary>
    public static Rows All { get; } = new(ShardPlan.Single, new Dictionary<string, Shape>());

    /// <summary>The whole shape of a parameter, or of a tensor of its form, whose buffer has <paramref name="shape"/>.</summary>
    public Shape WholeOf(string name, Shape shape) => Whole.GetValueOrDefault(name) ?? shape;

    /// <summary>The first element of the whole tensor that a buffer of <paramref name="shape"/> has.</summary>
    public long FirstOf(string name, Shape shape) => shape.Equals(WholeOf(name, shape)) ? 0 : PartOf(name).First;

    /// <summary>The elements that this rank is to write of a tensor: its part, from the first on.</summary>
    public (long First, long Count) PartOf(string name)
    {
        var sizes = Whole[name].Sizes;
        var (first, count) = Plan.RangeOf(sizes[0]);
        var width = sizes[1..].Aggregate(1L, (a, b) => a * b);
        return (first * width, count * width);
    }
}
