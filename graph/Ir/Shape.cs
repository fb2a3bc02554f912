using System.Collections;

namespace Halo.Ir;

/// <summary>One dimension: a number, a symbol (<c>batch</c>), or unknown.</summary>
public readonly record struct Dim
{
    private Dim(long? size, string? symbol) => (Size, Symbol) = (size, symbol);

    public static Dim Unknown => default;

    /// <summary>The number of elements, if known.</summary>
    public long? Size { get; }

    /// <summary>The name of a size that is only known when the graph runs.</summary>
    public string? Symbol { get; }

    public bool IsKnown => Size is not null;

    public static Dim Of(long size) => new(size, null);

    public static Dim Named(string symbol) => new(null, symbol);

    public static implicit operator Dim(long size) => Of(size);

    public override string ToString() => Size?.ToString() ?? Symbol ?? "?";
}

/// <summary>An immutable list of dimensions; the empty list is a scalar. An unknown rank is a null Shape.</summary>
public sealed class Shape : IReadOnlyList<Dim>, IEquatable<Shape>
{
    /// <summary>Of which 16 bytes each are a number of 64 bits.</summary>
    private const long MaxElements = 1L << 59;

    private readonly Dim[] _dims;

    public Shape(IEnumerable<Dim> dims) => _dims = [.. dims];

    public static Shape Scalar { get; } = new([]);

    public int Rank => _dims.Length;

    public int Count => _dims.Length;

    /// <summary>All dimensions are numbers.</summary>
    public bool IsStatic => Array.TrueForAll(_dims, d => d.IsKnown);

    public Dim this[int axis] => _dims[axis < 0 ? axis + _dims.Length : axis];

    public static Shape Of(params ReadOnlySpan<long> sizes)
    {
        var dims = new Dim[sizes.Length];
        for (var i = 0; i < dims.Length; i++)
            dims[i] = sizes[i];
        return new Shape(dims);
    }

    /// <summary>The number of elements; null if a dimension is not known.</summary>
    /// <exception cref="HaloException">It is above <see cref="MaxElements"/>.</exception>
    public long? ElementCount
    {
        get
        {
            long count = 1;
            foreach (var d in _dims)
            {
                if (d.Size is not { } size)
                    return null;
                if (size != 0 && (size < 0 || count > MaxElements / size))
                {
                    throw new HaloException("shape", ToString(), "at most 2^59 elements", size < 0 ? "a negative size" : "more",
                        "Correct the sizes that the graph declares, or export it again.");
                }
                count *= size;
            }
            return count;
        }
    }

    /// <summary>The sizes of a static shape.</summary>
    public long[] Sizes => Array.ConvertAll(_dims, d => d.Size ?? throw new InvalidOperationException($"shape {this} is not static"));

    public bool Equals(Shape? other) => other is not null && _dims.AsSpan().SequenceEqual(other._dims);

    public override bool Equals(object? obj) => Equals(obj as Shape);

    public override int GetHashCode()
    {
        var hash = default(HashCode);
        foreach (var d in _dims)
            hash.Add(d);
        return hash.ToHashCode();
    }

    public IEnumerator<Dim> GetEnumerator() => ((IEnumerable<Dim>)_dims).GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    public override string ToString() => $"[{string.Join(", ", _dims)}]";
}
