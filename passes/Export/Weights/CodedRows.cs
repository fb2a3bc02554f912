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
/// The tensors come from one reading of the weight, in whatever order they are read: what a reading makes beside the part that was asked for is kept until
/// that part is read. Codes are large, and kept only where another part is read first; a part that is read again has the weight coded again. Rows are coded in
/// parallel.
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
    private readonly HashSet<PartKind> _made = [];
    private readonly Dictionary<PartKind, byte[]> _kept = [];

    private enum PartKind
    {
        Codes,
        Scales,
        Zeros,
    }

    /// <summary>The codes, of any type and sizes that have their bytes.</summary>
    public Tensor Codes(ElementType type, params ReadOnlySpan<long> shape) => Make(PartKind.Codes, type, shape, _rows * sizes.Codes);

    public Tensor Scales(params ReadOnlySpan<long> shape) => Make(PartKind.Scales, scaleType, shape, scaleType.SizeBytes(_rows * sizes.Scales));

    public Tensor Zeros(params ReadOnlySpan<long> shape) => Make(PartKind.Zeros, ElementType.UInt8, shape, _rows * sizes.Zeros);

    private Tensor Make(PartKind kind, ElementType type, ReadOnlySpan<long> shape, long sizeBytes)
    {
        _made.Add(kind);
        return new Tensor(type, shape.ToArray(), new Part(sizeBytes, chunk => Read(kind, chunk)));
    }

    private void Read(PartKind kind, ChunkReader chunk)
    {
        if (!_kept.Remove(kind, out var bytes))
        {
            if (kind == PartKind.Codes)
            {
                Code(chunk);
                return;
            }
            var codes = _made.Contains(PartKind.Codes) && !_kept.ContainsKey(PartKind.Codes) ? new MemoryStream(checked((int)(_rows * sizes.Codes))) : null;
            Code(piece =>
            {
                codes?.Write(piece);
                return true;
            });
            if (codes is not null)
                _kept[PartKind.Codes] = codes.ToArray();
            _kept.Remove(kind, out bytes);
        }
        chunk(bytes!);
    }

    /// <summary>Codes all rows, hands the codes on piece by piece, and keeps scales and zero points if nobody stops it.</summary>
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
        if (!isRead)
            return;
        var scaleBytes = new byte[scaleType.SizeBytes(scales.Length)];
        FloatConversions.FromFloat(scaleType, scales, scaleBytes);
        if (_made.Contains(PartKind.Scales))
            _kept[PartKind.Scales] = scaleBytes;
        if (_made.Contains(PartKind.Zeros))
            _kept[PartKind.Zeros] = zeros;
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
