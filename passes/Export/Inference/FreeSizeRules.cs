using Halo.CustomOps;
using Halo.Ir;

namespace Halo.Passes.Export.Inference;

/// <summary>The sizes of what a node gives, from those of what it reads, where some of them are free; a rule an operator of canonical forward graphs.</summary>
/// <param name="Node">The node.</param>
/// <param name="Sizes">Of each input, null where one is left out.</param>
internal sealed record FreeOperands(Node Node, IReadOnlyList<IReadOnlyList<FreeSize>?> Sizes)
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
}

/// <summary>The table of rules. A rule returns null where the operator does with B or T what is not understood.</summary>
internal static class FreeSizeRules
{
    private static readonly Dictionary<(string Domain, string OpType), Func<FreeOperands, IReadOnlyList<FreeSize>?>> Rules = new()
    {
        [("", "Reshape")] = x => x.OnlyFree(0) && x.Node.Output.Shape is { IsStatic: true } to ? FreeSize.Split(x.Sizes[0]!, to.Sizes) : null,
        [("", "Transpose")] = Transpose,
        [("", "Gather")] = x => x.OnlyFree(1) && x.Node.Int("axis", 0) == 0 ? [.. x.Sizes[1]!, .. x.Sizes[0]!.Skip(1)] : null,
        [("", "Gemm")] = Gemm,
        [("", "MatMul")] = x => x.OnlyFree(0) && x.Sizes[1]!.Count == 2 && !x.Sizes[0]![^1].IsFree ? [.. x.Sizes[0]!.SkipLast(1), x.Sizes[1]![1]] : null,
        [("", "Add")] = Broadcast,
        [("", "Mul")] = Broadcast,
        [("", "Sigmoid")] = LikeFirst,
        [("", "Cast")] = LikeFirst,
        [("", "Identity")] = LikeFirst,
        [(HaloDomain.Name, nameof(RmsNorm))] = x => !x.Sizes[0]![^1].IsFree ? LikeFirst(x) : null,
        [(HaloDomain.Name, nameof(SwiGlu))] = x => x.Sizes[0]!.SequenceEqual(x.Sizes[1]!) ? x.Sizes[0] : null,
        [(HaloDomain.Name, nameof(HadamardTransform))] = x => !x.Sizes[0]![(int)x.Node.Int("axis", 1)].IsFree ? x.Sizes[0] : null,
        [(HaloDomain.Name, nameof(RotaryEmbedding))] = x => x.OnlyFree(0, 3) && IsTokens(x, 3, x.Sizes[0]!) ? x.Sizes[0] : null,
        [(HaloDomain.Name, nameof(Attention))] = Attention,
    };

    /// <summary>Sizes of the node's first output.</summary>
    public static IReadOnlyList<FreeSize>? Of(FreeOperands operands) =>
        Rules.TryGetValue((operands.Node.Domain, operands.Node.OpType), out var rule) ? rule(operands) : null;

    private static IReadOnlyList<FreeSize>? LikeFirst(FreeOperands x) => x.OnlyFree(0) ? x.Sizes[0] : null;

    private static List<FreeSize> Transpose(FreeOperands x)
    {
        var from = x.Sizes[0]!;
        var perm = x.Node.Ints("perm") ?? [.. Enumerable.Range(0, from.Count).Reverse().Select(a => (long)a)];
        return [.. perm.Select(a => from[(int)a])];
    }

    private static FreeSize[]? Gemm(FreeOperands x)
    {
        if (!x.OnlyFree(0) || x.Node.Int("transA", 0) != 0 || x.Sizes[0]![1].IsFree)
            return null;
        var columns = x.Sizes[1]![x.Node.Int("transB", 0) != 0 ? 0 : 1];
        var bias = x.Sizes.Count > 2 ? x.Sizes[2] : null;
        return bias is null || bias.SkipLast(1).All(s => s.Was == 1) ? [x.Sizes[0]![0], columns] : null;
    }

    /// <summary>Axes aligned at the end: the same size, or 1 beside another. A number beside B or T is one of them in disguise.</summary>
    private static FreeSize[]? Broadcast(FreeOperands x)
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

    /// <summary>Q (B, H, T, D), K and V (B, G, T, D), mask and documents (B, T).</summary>
    private static IReadOnlyList<FreeSize>? Attention(FreeOperands x)
    {
        var (q, k, v) = (x.Sizes[0]!, x.Sizes[1]!, x.Sizes[2]!);
        return q[0].IsFree && q[2].IsFree && !q[1].IsFree && !q[3].IsFree && k.SequenceEqual(v) && k[0].Equals(q[0]) && k[2].Equals(q[2])
            && IsTokens(x, 3, q) && IsTokens(x, 4, q) ? q : null;
    }

    /// <summary>An input that is left out, or has the sizes (B, T) of heads (B, H, T, D).</summary>
    private static bool IsTokens(FreeOperands x, int input, IReadOnlyList<FreeSize> heads) =>
        input >= x.Sizes.Count || x.Sizes[input] is not { } tokens || (tokens.Count == 2 && tokens[0].Equals(heads[0]) && tokens[1].Equals(heads[2]));
}
