using Halo.Passes.Canonical.Precision;
using Halo.Passes.Export.Weights;

namespace Halo.Training;

/// <summary>What an exported model multiplies coded weights by.</summary>
public enum ActivationType
{
    /// <summary>Activations as they are, in float32.</summary>
    Float,

    /// <summary>Activations rounded to 8 bits, each block of a row with a scale of its own, in a graph of float32; of int8 and int4 weights.</summary>
    Int8,

    /// <summary>Activations as they are, in a graph of float16: caches, norms and the scales of codes are float16 too.</summary>
    Fp16,
}

/// <summary>What <see cref="ActivationType"/> and <see cref="WeightType"/> mean for a graph and its passes.</summary>
internal static class ActivationTypes
{
    /// <summary>The float type of an inference graph; logits are float32 in each.</summary>
    public static FloatPrecision PrecisionOf(WeightType weights, ActivationType? activations) =>
        weights == WeightType.Fp16 || activations == ActivationType.Fp16 ? FloatPrecision.Fp16 : FloatPrecision.Fp32;

    /// <summary>
    /// What MatMulNBits is told; null is <see cref="Halo.Passes.Export.QuantizeWeights"/>'s own choice: float for 4 bits, rounded to 8 for the head of int4.
    /// </summary>
    public static ActivationFormat? FormatOf(WeightType weights, ActivationType? activations) => (weights, activations) switch
    {
        (_, ActivationType.Int8) => ActivationFormat.Int8,
        (_, ActivationType.Float) => ActivationFormat.Float,
        (WeightType.Int8, _) => ActivationFormat.Float,
        _ => null,
    };
}
