namespace Halo.Passes.Export.Weights;

/// <summary>What values codes can stand for: a grid with a scale, and a zero point, for each group of columns of a row.</summary>
/// <param name="Group">Columns that share a scale.</param>
internal abstract record CodeGrid(int Group)
{
    /// <summary>Bits of a code; those of 4 bits are packed two in a byte, low bits first.</summary>
    public abstract int Bits { get; }

    /// <summary>Scale and zero point for the values of a group, as many as the group has.</summary>
    /// <param name="group">The values.</param>
    /// <param name="importance">What the square of each value's error counts.</param>
    public abstract (float Scale, byte Zero) Fit(ReadOnlySpan<float> group, ReadOnlySpan<float> importance);

    /// <summary>The nearest code, and what it stands for.</summary>
    public abstract (byte Code, float Value) Nearest(float value, float scale, byte zero);
}

/// <summary>FP8 E4M3 in blocks, as <see cref="Fp8Coder"/> has them.</summary>
/// <param name="Block">Columns of a block.</param>
/// <param name="ToScale">Rounds a scale into the type that holds it.</param>
internal sealed record Fp8Grid(int Block, Func<float, float> ToScale) : CodeGrid(Block)
{
    public override int Bits => 8;

    public override (float Scale, byte Zero) Fit(ReadOnlySpan<float> group, ReadOnlySpan<float> importance) =>
        (Fp8Coder.Scale(group, importance, ToScale), 0);

    public override (byte Code, float Value) Nearest(float value, float scale, byte zero)
    {
        var code = Fp8Coder.Code(value / scale);
        return (code, Fp8Coder.Value(code) * scale);
    }
}

/// <summary>Integers in blocks, as <see cref="BlockCoder"/> has them.</summary>
/// <param name="Block">Columns of a block.</param>
/// <param name="CodeBits">4 or 8.</param>
/// <param name="ToScale">Rounds a scale into the type that holds it.</param>
internal sealed record BlockGrid(int Block, int CodeBits, Func<float, float> ToScale) : CodeGrid(Block)
{
    public override int Bits => CodeBits;

    public override (float Scale, byte Zero) Fit(ReadOnlySpan<float> group, ReadOnlySpan<float> importance)
    {
        Span<byte> codes = stackalloc byte[Block];
        Span<float> whole = stackalloc float[Block], counts = stackalloc float[Block];
        whole.Clear();
        group.CopyTo(whole);
        counts.Clear();
        importance.CopyTo(counts);
        return Bits == 8 ? (BlockCoder.Code8(whole, codes, ToScale), BlockCoder.EightBitZero) : BlockCoder.Code4(whole, counts, codes, ToScale);
    }

    public override (byte Code, float Value) Nearest(float value, float scale, byte zero)
    {
        var (least, most) = Bits == 8 ? (-127f, 127f) : (-zero, 15f - zero);
        var steps = Math.Clamp(MathF.Round(value / scale), least, most);
        return ((byte)(steps + zero), steps * scale);
    }
}
