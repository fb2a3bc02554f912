using Halo.Ir;

namespace Halo.Passes.Export.Weights;

/// <summary>A weight each unit of which (a row, the rows of a head, all rows) is computed from the same unit of another, in place.</summary>
/// <remarks>Holds one unit, or 4 MiB if that is more. Units are computed in parallel.</remarks>
internal sealed class UnitBytes(string pass, string name, Tensor source, long unit, Action<Memory<float>> change)
    : WeightBytes(pass, name, source.Type, source.ElementCount)
{
    /// <summary>Values that are worth handing to another thread.</summary>
    private const int SliceElements = 1 << 14;

    public static Tensor Make(string pass, string name, Tensor source, long unit, Action<Memory<float>> change) =>
        new(source.Type, source.Sizes, new UnitBytes(pass, name, source, unit, change));

    public override void ReadFloats(FloatReader reader) => WeightReader.Units(source, unit, piece =>
    {
        var (size, units) = ((int)unit, piece.Length / (int)unit);
        var together = Math.Max(1, SliceElements / size);
        Parallel.For(0, (units + together - 1) / together, slice =>
        {
            for (var i = slice * together; i < Math.Min(units, (slice + 1) * together); i++)
                change(piece.Slice(i * size, size));
        });
        return reader(piece.Span);
    });
}
