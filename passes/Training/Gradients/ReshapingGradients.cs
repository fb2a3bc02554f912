namespace Halo.Passes.Training.Gradients;

/// <summary>Operators that give the same elements other axes, or repeat them.</summary>
internal static class ReshapingGradients
{
    public static Dictionary<string, GradientRule> Rules { get; } = new()
    {
        ["Reshape"] = ReshapeBack,
        ["Flatten"] = ReshapeBack,
        ["Squeeze"] = ReshapeBack,
        ["Unsqueeze"] = ReshapeBack,
        ["Expand"] = g => g.Add(0, () => g.D),
        ["Transpose"] = g => g.Add(0, () =>
        {
            var perm = g.Node.Ints("perm") ?? [.. Enumerable.Range(0, g.Y.Shape!.Rank).Reverse().Select(a => (long)a)];
            var back = new long[perm.Count];
            for (var axis = 0; axis < back.Length; axis++)
                back[perm[axis]] = axis;
            return g.Op("Transpose", [g.D], Attribute.Of("perm", back));
        }),
        ["Tile"] = g => g.Add(0, () =>
        {
            // Each axis of n repeats of size d is two axes, of which the first is summed.
            var (sizes, repeats) = (g.In(0).Shape!.Sizes, g.Constant(1));
            var split = g.Reshape(g.D, [.. sizes.Zip(repeats, (size, n) => new[] { n, size }).SelectMany(p => p)]);
            return g.Sum(split, [.. Enumerable.Range(0, sizes.Length).Select(axis => 2 * axis)], keepsDims: false);
        }),
    };

    private static void ReshapeBack(NodeGradient g) => g.Add(0, () => g.Reshape(g.D, g.In(0).Shape!.Sizes));
}
