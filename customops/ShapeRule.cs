using Halo.Ir;

namespace Halo.CustomOps;

/// <summary>What shape rules check.</summary>
internal static class ShapeRule
{
    /// <summary>Throws where <paramref name="value"/> is known to have another shape; what is not known fits.</summary>
    public static void Require(string op, Node node, Value value, string parameter, Shape expected, string advice)
    {
        if (value.Shape is { } found && (found.Rank != expected.Rank || found.Zip(expected, Differ).Any(differ => differ)))
            throw new HaloException(op, node.ToString(), $"{parameter} {expected}", $"{found}", advice);
    }

    /// <summary>Two sizes that are known and not the same.</summary>
    public static bool Differ(Dim a, Dim b) => a.Size is { } sizeA && b.Size is { } sizeB && sizeA != sizeB;
}
