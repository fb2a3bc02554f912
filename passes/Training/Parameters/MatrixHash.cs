using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Halo.Ir;

namespace Halo.Passes.Training.Parameters;

/// <summary>128 bits that tell tensors of one type and size apart, whichever of two layouts they lie in.</summary>
/// <remarks>
/// The sum over all elements of a mixture of the element's bits and its row-major position. A sum does not depend on the order of its terms, so one
/// pass over W (R, C), in pieces, gives the hash of W and that of W^T, whose element (j, i) has position j R + i. The mixture is splitmix64's.
/// </remarks>
internal readonly record struct MatrixHash(ulong First, ulong Second)
{
    private const ulong Golden = 0x9E3779B97F4A7C15;

    /// <summary>Hashes of a tensor, rounded to <paramref name="type"/> first, as it lies and (rank 2 alone) transposed.</summary>
    public static (MatrixHash AsIs, MatrixHash? Transposed) Of(Tensor tensor, ElementType type)
    {
        var sums = tensor.Sizes.Count == 2 ? new Sums(tensor.Sizes[0], tensor.Sizes[1]) : new Sums(1, tensor.ElementCount);
        var isMatrix = tensor.Sizes.Count == 2;
        var floats = Array.Empty<float>();
        var rounded = Array.Empty<byte>();
        tensor.ReadChunks(bytes =>
        {
            if (tensor.Type != type)
            {
                var count = bytes.Length / (tensor.Type.Bits() / 8);
                if (floats.Length < count)
                    (floats, rounded) = (new float[count], new byte[type.SizeBytes(count)]);
                FloatConversions.ToFloat(tensor.Type, bytes, floats.AsSpan(0, count));
                FloatConversions.FromFloat(type, floats.AsSpan(0, count), rounded.AsSpan(0, (int)type.SizeBytes(count)));
                bytes = rounded.AsSpan(0, (int)type.SizeBytes(count));
            }
            switch (type.Bits())
            {
                case 16: sums.Add(MemoryMarshal.Cast<byte, ushort>(bytes), isMatrix); break;
                case 32: sums.Add(MemoryMarshal.Cast<byte, uint>(bytes), isMatrix); break;
                default: sums.Add(MemoryMarshal.Cast<byte, ulong>(bytes), isMatrix); break;
            }
            return true;
        });
        return (sums.AsIs, isMatrix ? sums.Transposed : null);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Mixed(ulong element, long position)
    {
        var z = element * 0xD1342543DE82EF95 + (ulong)(position + 1) * Golden;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }

    /// <summary>Both sums, and how far the reading is.</summary>
    private sealed class Sums(long rows, long columns)
    {
        private long _row, _column;

        public MatrixHash AsIs { get; private set; }

        public MatrixHash Transposed { get; private set; }

        public void Add<T>(ReadOnlySpan<T> elements, bool isMatrix) where T : unmanaged, IBinaryInteger<T>
        {
            var (first, second, flippedFirst, flippedSecond) = (AsIs.First, AsIs.Second, Transposed.First, Transposed.Second);
            var (row, column) = (_row, _column);
            foreach (var element in elements)
            {
                var bits = ulong.CreateTruncating(element);
                var z = Mixed(bits, row * columns + column);
                first += z;
                second += z * (z | 1);
                if (isMatrix)
                {
                    z = Mixed(bits, column * rows + row);
                    flippedFirst += z;
                    flippedSecond += z * (z | 1);
                }
                if (++column == columns)
                    (row, column) = (row + 1, 0);
            }
            (AsIs, Transposed, _row, _column) = (new MatrixHash(first, second), new MatrixHash(flippedFirst, flippedSecond), row, column);
        }
    }
}
