using Halo.Ir;

namespace Halo.Operators;

/// <summary>One factor of a size: a number, or B or T by its symbol, with the number that it was.</summary>
public readonly record struct SizeFactor(long Size, string? Symbol = null);

/// <summary>A size as its factors in row-major order: (B T) is B, then T. Numbers side by side are one.</summary>
public sealed class FreeSize : IEquatable<FreeSize>
{
    public FreeSize(IEnumerable<SizeFactor> factors)
    {
        var joined = new List<SizeFactor>();
        foreach (var factor in factors.Where(f => f.Symbol is not null || f.Size != 1))
        {
            if (factor.Symbol is null && joined.Count > 0 && joined[^1].Symbol is null)
                joined[^1] = new SizeFactor(checked(joined[^1].Size * factor.Size));
            else
                joined.Add(factor);
        }
        Factors = joined;
    }

    public static FreeSize Of(long size) => new([new SizeFactor(size)]);

    public IReadOnlyList<SizeFactor> Factors { get; }

    /// <summary>What it was.</summary>
    public long Was => Factors.Aggregate(1L, (product, f) => checked(product * f.Size));

    public bool IsFree => Factors.Any(f => f.Symbol is not null);

    /// <summary>The size as shapes have it: a number, a symbol, or a product such as <c>batch_size*sequence_length</c>.</summary>
    public Dim Dim
    {
        get
        {
            if (!IsFree)
                return Was;
            var number = Factors.Where(f => f.Symbol is null).Aggregate(1L, (product, f) => checked(product * f.Size));
            var symbols = string.Join('*', Factors.Select(f => f.Symbol).OfType<string>().Order(StringComparer.Ordinal));
            return Dim.Named(number == 1 ? symbols : $"{number}*{symbols}");
        }
    }

    /// <summary>
    /// The factors of a row-major tensor dealt out to the axes of the same elements under other sizes; null if an axis would take a part of B or T.
    /// </summary>
    /// <param name="from">The axes before.</param>
    /// <param name="sizes">What the axes behind were, as many elements in all.</param>
    public static FreeSize[]? Split(IReadOnlyList<FreeSize> from, IReadOnlyList<long> sizes)
    {
        var rest = new LinkedList<SizeFactor>(new FreeSize(from.SelectMany(f => f.Factors)).Factors);
        var result = new FreeSize[sizes.Count];
        for (var axis = 0; axis < result.Length; axis++)
        {
            var taken = new List<SizeFactor>();
            var open = sizes[axis];
            while (rest.First?.Value is { } next && (open > 1 || (taken.Count == 0 && next is { Size: 1, Symbol: not null })))
            {
                rest.RemoveFirst();
                if (open % next.Size == 0)
                {
                    taken.Add(next);
                    open /= next.Size;
                }
                else if (next.Symbol is null && next.Size % open == 0)
                {
                    taken.Add(new SizeFactor(open));
                    rest.AddFirst(new SizeFactor(next.Size / open));
                    open = 1;
                }
                else
                {
                    return null;
                }
            }
            if (open != 1)
                return null;
            result[axis] = new FreeSize(taken);
        }
        return rest.Count == 0 ? result : null;
    }

    public bool Equals(FreeSize? other) => other is not null && Factors.SequenceEqual(other.Factors);

    public override bool Equals(object? obj) => Equals(obj as FreeSize);

    public override int GetHashCode() => Factors.Aggregate(0, HashCode.Combine);

    public override string ToString() => Dim.ToString();
}
