using System.Buffers.Binary;
using Halo.Ir;

namespace Halo.Passes.Infra;

/// <summary>One graph output before and after a pass.</summary>
/// <param name="Output">Its name.</param>
/// <param name="IsIdentical">Every bit is the same.</param>
/// <param name="RelativeError">||after - before|| / ||before||, in float64 over all elements.</param>
public sealed record OutputDifference(string Output, bool IsIdentical, double RelativeError)
{
    /// <summary>Signal to noise, -20 log10 of the relative error; infinite where there is no difference.</summary>
    public double SqnrDb => RelativeError == 0 ? double.PositiveInfinity : -20 * Math.Log10(RelativeError);

    public static OutputDifference Of(string output, Tensor before, Tensor after)
    {
        if (before.Type != after.Type || !before.Sizes.SequenceEqual(after.Sizes))
            return new OutputDifference(output, false, double.PositiveInfinity);
        if (before.Type == ElementType.String)
        {
            var same = before.Strings!.Zip(after.Strings!).All(p => p.First.AsSpan().SequenceEqual(p.Second));
            return new OutputDifference(output, same, same ? 0 : double.PositiveInfinity);
        }
        var (a, b) = (before.ToBytes(), after.ToBytes());
        return a.AsSpan().SequenceEqual(b) ? new OutputDifference(output, true, 0) : new OutputDifference(output, false, RelativeErrorOf(before.Type, a, b));
    }

    /// <summary>Whether the difference is one that a pass of this effect may make.</summary>
    public bool IsWithin(ValueEffect effect) => effect switch
    {
        ValueEffect.Exact => IsIdentical,
        ValueEffect.Reassociating(var bound) => RelativeError <= bound,
        ValueEffect.Quantizing(var floorDb) => SqnrDb >= floorDb,
        _ => false,
    };

    private static double RelativeErrorOf(ElementType type, ReadOnlySpan<byte> before, ReadOnlySpan<byte> after)
    {
        if (type is ElementType.Complex64 or ElementType.Complex128 || (!type.IsFloat() && type >= ElementType.BFloat16))
            return double.PositiveInfinity; // no arithmetic here for these: they keep their bits or they differ
        var width = type.Bits() / 8;
        double noise = 0, signal = 0;
        for (var i = 0; i < before.Length; i += width)
        {
            var (x, y) = (Element(type, before[i..]), Element(type, after[i..]));
            if (x.Equals(y)) // NaN for NaN and infinity for infinity is no difference, and no signal either
            {
                signal += double.IsFinite(x) ? x * x : 0;
                continue;
            }
            signal += x * x;
            noise += (x - y) * (x - y);
        }
        return double.IsFinite(noise) && double.IsFinite(signal) && signal > 0 ? Math.Sqrt(noise / signal) : noise == 0 ? 0 : double.PositiveInfinity;
    }

    private static double Element(ElementType type, ReadOnlySpan<byte> bytes) => type switch
    {
        ElementType.Float => BinaryPrimitives.ReadSingleLittleEndian(bytes),
        ElementType.Double => BinaryPrimitives.ReadDoubleLittleEndian(bytes),
        ElementType.Float16 => (double)BinaryPrimitives.ReadHalfLittleEndian(bytes),
        ElementType.BFloat16 => BitConverter.Int32BitsToSingle(BinaryPrimitives.ReadUInt16LittleEndian(bytes) << 16),
        ElementType.Int64 => BinaryPrimitives.ReadInt64LittleEndian(bytes),
        ElementType.UInt64 => BinaryPrimitives.ReadUInt64LittleEndian(bytes),
        ElementType.Int32 => BinaryPrimitives.ReadInt32LittleEndian(bytes),
        ElementType.UInt32 => BinaryPrimitives.ReadUInt32LittleEndian(bytes),
        ElementType.Int16 => BinaryPrimitives.ReadInt16LittleEndian(bytes),
        ElementType.UInt16 => BinaryPrimitives.ReadUInt16LittleEndian(bytes),
        ElementType.Int8 => (sbyte)bytes[0],
        ElementType.UInt8 or ElementType.Bool => bytes[0],
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "no arithmetic for this type"),
    };
}
