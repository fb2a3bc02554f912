namespace Halo.Training;

/// <summary>How an exported model stores its weights.</summary>
public enum WeightType
{
    /// <summary>As they were trained.</summary>
    Fp32,

    /// <summary>Weights, activations and cache in float16; logits in float32.</summary>
    Fp16,

    /// <summary>For Hugging Face folders alone.</summary>
    Bf16,

    /// <summary>Blocks of E4M3, dequantized by DequantizeLinear.</summary>
    Fp8,

    /// <summary>Blocks of 8-bit integers (MatMulNBits).</summary>
    Int8,

    /// <summary>Blocks of 4-bit integers (MatMulNBits), the head in 8 bits.</summary>
    Int4,
}
