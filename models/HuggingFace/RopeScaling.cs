namespace Halo.Models.HuggingFace;

/// <summary>How rotary frequencies are stretched beyond the pre-training context. [Transformers, modeling_rope_utils]</summary>
/// <remarks>
/// linear: all divided by the factor. dynamic: theta grows with a sequence that is longer than the context, the frequencies of all its tokens with it.
/// llama3: wavelengths above original / lowFrequencyFactor are divided by the factor, those below original / highFrequencyFactor kept, between them
/// interpolated. yarn: pairs that turn more than betaFast times in the original context are kept, those that turn less than betaSlow times divided, between
/// them interpolated by their number [Peng et al. 2023, 3.2]. longrope: each divided by a number of its own, of one list up to the original context and of
/// another for sequences beyond [Ding et al. 2024]. yarn and longrope scale cosine and sine by the attention factor.
/// </remarks>
/// <param name="Type">One of the constants here.</param>
/// <param name="Factor">The stretch, at least 1.</param>
/// <param name="LowFrequencyFactor">llama3 only, else 0.</param>
/// <param name="HighFrequencyFactor">llama3 only, else 0.</param>
/// <param name="OriginalContext">llama3, yarn and longrope only, else 0: tokens of context in pre-training.</param>
public sealed record RopeScaling(string Type, double Factor, double LowFrequencyFactor, double HighFrequencyFactor, int OriginalContext)
{
    public const string Linear = "linear", Dynamic = "dynamic", Llama3 = "llama3", Yarn = "yarn", LongRope = "longrope";

    /// <summary>What cosine and sine are multiplied by.</summary>
    public double AttentionFactor { get; init; } = 1;

    /// <summary>yarn only: turns in the original context.</summary>
    public double BetaFast { get; init; }

    public double BetaSlow { get; init; }

    /// <summary>yarn only: whether the borders of the interpolation are whole pairs.</summary>
    public bool IsTruncated { get; init; }

    /// <summary>longrope only: a divisor for each pair of rotated channels.</summary>
    public IReadOnlyList<double> ShortFactors { get; init; } = [];

    public IReadOnlyList<double> LongFactors { get; init; } = [];

    /// <summary>All of it in words; two that are described alike are alike.</summary>
    public override string ToString() => Type switch
    {
        Llama3 => $"llama3, factor {Factor}, frequencies {LowFrequencyFactor} to {HighFrequencyFactor}, context {OriginalContext}",
        Yarn => $"yarn, factor {Factor}, turns {BetaSlow} to {BetaFast}, context {OriginalContext}, attention {AttentionFactor}"
            + (IsTruncated ? "" : ", not truncated"),
        LongRope => $"longrope, context {OriginalContext}, attention {AttentionFactor}, short {string.Join(' ', ShortFactors)},"
            + $" long {string.Join(' ', LongFactors)}",
        _ => $"{Type}, factor {Factor}",
    };
}
