namespace Halo.Models.HuggingFace;

/// <summary>How rotary frequencies are stretched beyond the pre-training context: <c>linear</c> (all by the factor) or <c>llama3</c> (by wavelength).</summary>
/// <remarks>For llama3: wavelengths above original / lowFrequencyFactor are divided by the factor, those below original / highFrequencyFactor kept, between
/// them interpolated. [Transformers, modeling_rope_utils]</remarks>
/// <param name="Type"><c>linear</c> or <c>llama3</c>.</param>
/// <param name="Factor">The stretch, at least 1.</param>
/// <param name="LowFrequencyFactor">llama3 only, else 0.</param>
/// <param name="HighFrequencyFactor">llama3 only, else 0.</param>
/// <param name="OriginalContext">llama3 only, else 0: tokens of context in pre-training.</param>
public sealed record RopeScaling(string Type, double Factor, double LowFrequencyFactor, double HighFrequencyFactor, int OriginalContext);
