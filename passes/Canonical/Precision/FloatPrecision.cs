using Halo.Ir;

namespace Halo.Passes.Canonical.Precision;

/// <summary>The float type that a graph's parameters and products have.</summary>
public enum FloatPrecision
{
    Fp32,
    Bf16,
    Fp16,
}

/// <summary>Element types of <see cref="FloatPrecision"/>.</summary>
public static class FloatPrecisions
{
    public static ElementType Type(this FloatPrecision precision) => precision switch
    {
        FloatPrecision.Bf16 => ElementType.BFloat16,
        FloatPrecision.Fp16 => ElementType.Float16,
        _ => ElementType.Float,
    };
}
