using System.Runtime.InteropServices;
using Halo.Ir;

namespace Halo.Passes.Export.Weights;

/// <summary>Writes the codes of rows, and their scales and zero points.</summary>
internal delegate void RowCoder(ReadOnlySpan<float> rows, Span<byte> codes, Span<float> scales, Span<byte> zeros);

/// <summary>How rows are coded.</summary>
/// <param name="Together">Rows that are given at once, fewer at an end.</param>
/// <param name="Code">Codes them.</param>
internal readonly record struct RowCoding(int Together, RowCoder Code);

/// <summary>Bytes of one row of each part.</summary>
internal readonly record struct RowSizes(int Codes, int Scales, int Zeros);

/// <summary>A matrix as codes with scales and zero points, computed row by row while the codes are read.</summary>
/// <remarks>
/// Three tensors come from one reading of the weight: scales and zero points are kept from when the codes are read, which a file has first, until they are
/// read themselves; who asks for them before, or again, has the weight read once more. Rows are coded in parallel.
/// </remarks>
/// <param name="pass">For messages.</param>
/// <param name="name">For messages.</param>
/// <param name="source">(N, K).</param>
/// <param name="sizes">Of a row: bytes of codes, scales, bytes of zero points.</param>
/// <param name="scaleType">Float32 or float16.</param>
/// <param name="begin">Called for each reading, for how rows are coded.</param>
internal sealed class CodedRows(string pass, string name, Tensor source, RowSizes sizes, ElementType scaleType, Func<RowCoding> begin)
{
    private readonly long _rows = source.Sizes[0];
    private float[]? _scales;
    private byte[]? _zeros;

    /// <summary>The codes, of any type and sizes that have their bytes.</summary>
    public Tensor Codes(ElementType type, params ReadOnlySpan<long> shape) => new(type, shape.ToArray(), new Part(_rows * sizes.Codes, Code));

    public Tensor Scales(params ReadOnlySpan<long> shape) =>
        new(scaleType, shape.ToArray(), new Part(scaleType.SizeBytes(_rows * sizes.Scales), ReadScales));

    public Tensor Zeros(params ReadOnlySpan<long> shape) => new(ElementType.UInt8, shape.ToArray(), new Part(_rows * sizes.Zeros, ReadZeros));

    private void Code(ChunkReader chunk)
    {
        var columns = (int)source.Sizes[1];
        var (scales, zeros) = (new float[_rows * sizes.Scales], new byte[_rows * sizes.Zeros]);
        var codes = Array.Empty<byte>();
        var (together, coder) = begin();
        var first = 0;
        var isRead = true;
        WeightReader.Units(source, columns, piece =>
        {
            var rows = piece.Length / columns;
            if (codes.Length < rows * sizes.Codes)
                codes = new byte[rows * sizes.Codes];
            CheckFinite(piece.Span);
            Parallel.For(0, (rows + together - 1) / together, slice =>
            {
                var i = slice * together;
                var (at, count) = (first + i, Math.Min(together, rows - i));
                coder(piece.Span.Slice(i * columns, count * columns), codes.AsSpan(i * sizes.Codes, count * sizes.Codes),
                    scales.AsSpan(at * sizes.Scales, count * sizes.Scales), zeros.AsSpan(at * sizes.Zeros, count * sizes.Zeros));
            });
            first += rows;
            return isRead = chunk(codes.AsSpan(0, rows * sizes.Codes));
        });
        if (isRead)
            (_scales, _zeros) = (scales, zeros);
    }

    private void ReadScales(ChunkReader chunk)
    {
        if (_scales is null)
            Code(_ => true);
        var bytes = new byte[scaleType.SizeBytes(_scales!.Length)];
        FloatConversions.FromFloat(scaleType, _scales, bytes);
        _scales = null;
        chunk(bytes);
    }

    private void ReadZeros(ChunkReader chunk)
    {
        if (_zeros is null)
            Code(_ => true);
        var zeros = _zeros!;
        _zeros = null;
        chunk(zeros);
    }

    private void CheckFinite(ReadOnlySpan<float> values)
    {
        foreach (var exponents in MemoryMarshal.Cast<float, uint>(values))
        {
            if ((exponents & 0x7F80_0000) == 0x7F80_0000)
                throw new HaloException(pass, $"tensor '{name}'", "finite values", "NaN or infinity", "Export a checkpoint whose training did not fail.");
        }
    }

    private sealed class Part(long size, Action<ChunkReader> read) : ITensorBytes
    {
        public long SizeBytes => size;

        public void ReadChunks(ChunkReader chunk) => read(chunk);
    }
}
