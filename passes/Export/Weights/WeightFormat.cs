namespace Halo.Passes.Export.Weights;

/// <summary>How an inference graph holds the weights of linear layers.</summary>
public enum WeightFormat
{
    /// <summary>Float16, cast where it is read.</summary>
    Fp16,

    /// <summary>FP8 E4M3 with a scale for each block of inputs.</summary>
    Fp8,

    /// <summary>8 bits with a scale for each block of inputs.</summary>
    Int8,

    /// <summary>4 bits with a scale and a zero point for each block of inputs; the head has 8 bits.</summary>
    Int4,
}
