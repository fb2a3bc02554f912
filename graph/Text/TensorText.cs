using System.Security.Cryptography;
using System.Text;
using Halo.Ir;

namespace Halo.Text;

/// <summary>The content of a tensor as text: its elements, a splat, or a hash.</summary>
internal static class TensorText
{
    public static string Format(Tensor tensor, PrintOptions options)
    {
        if (tensor.Strings is { } strings)
            return Braces(strings.Select(s => Names.Quote(Encoding.UTF8.GetString(s))), tensor.Sizes.Count);
        if (tensor.ElementCount <= Math.Max(options.InlineElements, 1) && tensor.Type.Bits() <= 64)
            return Braces(Codes(tensor).Select(code => ElementText.Format(tensor.Type, code)), tensor.Sizes.Count);
        if (!options.ReadWeights)
            return $"... {tensor.SizeBytes} bytes";
        return Splat(tensor) is { } element ? $"splat {ElementText.Format(tensor.Type, element)}" : $"hash {Hash(tensor)}";
    }

    /// <summary>The elements of a small tensor as bits.</summary>
    public static IEnumerable<ulong> Codes(Tensor tensor)
    {
        var bytes = tensor.ToBytes();
        for (var i = 0L; i < tensor.ElementCount; i++)
            yield return Code(bytes, tensor.Type.Bits(), i);
    }

    public static byte[] Pack(ElementType type, IReadOnlyList<ulong> codes)
    {
        var bits = type.Bits();
        var bytes = new byte[type.SizeBytes(codes.Count)];
        for (var i = 0; i < codes.Count; i++)
        {
            if (bits < 8)
                bytes[i * bits / 8] |= (byte)(codes[i] << (i * bits % 8));
            else
                BitConverter.GetBytes(codes[i]).AsSpan(0, bits / 8).CopyTo(bytes.AsSpan(i * bits / 8));
        }
        return bytes;
    }

    public static byte[] PackSplat(ElementType type, ulong code, long count)
    {
        var bytes = new byte[type.SizeBytes(count)];
        if (code == 0)
            return bytes;
        var perUnit = Math.Max(1, 8 / type.Bits());
        var unit = Pack(type, [.. Enumerable.Repeat(code, perUnit)]);
        for (var at = 0; at < bytes.Length; at += unit.Length)
            unit.CopyTo(bytes.AsSpan(at));
        return bytes;
    }

    /// <summary>Sixteen hexadecimal digits of the content's SHA-256.</summary>
    public static string Hash(Tensor tensor)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        if (tensor.Strings is { } strings)
        {
            foreach (var s in strings)
            {
                hash.AppendData(BitConverter.GetBytes(s.Length));
                hash.AppendData(s);
            }
        }
        else
        {
            tensor.ReadChunks(bytes =>
            {
                hash.AppendData(bytes);
                return true;
            });
        }
        return Convert.ToHexStringLower(hash.GetHashAndReset().AsSpan(0, 8));
    }

    /// <summary>The one element that all elements equal, bit for bit; null if they differ.</summary>
    private static ulong? Splat(Tensor tensor)
    {
        var bits = tensor.Type.Bits();
        if (bits is 0 or > 64)
            return null;
        var unit = Math.Max(1, bits / 8);
        byte[]? first = null;
        var equal = true;
        tensor.ReadChunks(bytes =>
        {
            first ??= bytes[..unit].ToArray();
            // a run equals itself moved by one unit exactly if it repeats its first unit
            equal = bytes[..unit].SequenceEqual(first) && bytes[unit..].SequenceEqual(bytes[..^unit]);
            return equal;
        });
        if (!equal || first is null)
            return null;
        var code = Code(first, bits, 0);
        for (var i = 1; i < 8 / bits; i++)
        {
            if (Code(first, bits, i) != code)
                return null;
        }
        return code;
    }

    private static ulong Code(ReadOnlySpan<byte> bytes, int bits, long index)
    {
        if (bits < 8)
            return ((ulong)bytes[(int)(index * bits / 8)] >> (int)(index * bits % 8)) & ((1UL << bits) - 1);
        Span<byte> code = stackalloc byte[8];
        code.Clear();
        bytes.Slice((int)(index * bits / 8), bits / 8).CopyTo(code);
        return BitConverter.ToUInt64(code);
    }

    private static string Braces(IEnumerable<string> elements, int rank) => rank == 0 ? elements.Single() : $"{{{string.Join(", ", elements)}}}";
}
