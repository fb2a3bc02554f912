namespace Halo.Passes.Export.Weights;

/// <summary>What an operator multiplies coded weights by.</summary>
public enum ActivationFormat
{
    /// <summary>Activations as they are.</summary>
    Float,

    /// <summary>Activations rounded to 8 bits, each block of a row with a scale of its own.</summary>
    Int8,
}
