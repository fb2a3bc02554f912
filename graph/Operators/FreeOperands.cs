using Halo.Ir;

namespace Halo.Operators;

/// <summary>A node of which some sizes are free, as its rule sees it.</summary>
/// <param name="Node">The node.</param>
/// <param name="Sizes">Of each input, null where one is left out.</param>
public sealed record FreeOperands(Node Node, IReadOnlyList<IReadOnlyList<FreeSize>?> Sizes)
{
    public bool IsFree(int input) => input < Sizes.Count && Sizes[input] is { } sizes && sizes.Any(s => s.IsFree);

    /// <summary>Inputs other than <paramref name="inputs"/> do not depend on B or T.</summary>
    public bool OnlyFree(params ReadOnlySpan<int> inputs)
    {
        for (var i = 0; i < Sizes.Count; i++)
        {
            if (IsFree(i) && !inputs.Contains(i))
                return false;
        }
        return true;
    }

    /// <summary>An input that is left out, or has the sizes (B, T) of heads (B, H, T, D).</summary>
    public bool IsTokens(int input, IReadOnlyList<FreeSize> heads) =>
        input >= Sizes.Count || Sizes[input] is not { } tokens || (tokens.Count == 2 && tokens[0].Equals(heads[0]) && tokens[1].Equals(heads[2]));

    /// <summary>The rule of an operator whose output has the sizes of its first input.</summary>
    public static IReadOnlyList<FreeSize>? LikeFirst(FreeOperands x) => x.OnlyFree(0) ? x.Sizes[0] : null;

    /// <summary>Axes aligned at the end: the same size, or 1 beside another. A number beside B or T is one of them in disguise.</summary>
    public static IReadOnlyList<FreeSize>? Broadcast(FreeOperands x)
    {
        var one = FreeSize.Of(1);
        var rank = x.Sizes.Max(s => s!.Count);
        var result = new FreeSize[rank];
        for (var axis = 0; axis < rank; axis++)
        {
            var sizes = x.Sizes.Select(s => axis - (rank - s!.Count) is >= 0 and var own ? s[own] : one).Where(s => !s.Equals(one)).Distinct().ToList();
            if (sizes.Count > 1)
                return null;
            result[axis] = sizes.Count == 1 ? sizes[0] : one;
        }
        return result;
    }
}
