namespace Halo.Training;

/// <summary>How the next token is chosen from logits.</summary>
/// <remarks>In Transformers' order: logits over the temperature, of those the K highest, of those the fewest that hold the probability P.</remarks>
public sealed record SamplingSettings
{
    /// <summary>The most likely token, always.</summary>
    public static SamplingSettings Greedy { get; } = new();

    /// <summary>Divides the logits: above 1 flattens their distribution; null takes the most likely token, whatever the rest says.</summary>
    public double? Temperature { get; init; }

    /// <summary>Most likely tokens to draw from; null is all.</summary>
    public int? TopK { get; init; }

    /// <summary>Probability that the tokens to draw from hold together, in (0, 1].</summary>
    public double TopP { get; init; } = 1;

    /// <summary>Of the random numbers; the same seed gives the same tokens.</summary>
    public ulong Seed { get; init; }

    /// <exception cref="HaloException">A value out of its range.</exception>
    public void Check()
    {
        if (Temperature is { } temperature && !(temperature > 0 && double.IsFinite(temperature)))
            throw Refused("the temperature", "a number above 0", $"{temperature}", "Give another, or --greedy for the most likely token.");
        if (TopK < 1)
            throw Refused("top-k", "at least 1 token", $"{TopK}", "Leave it out to draw from all.");
        if (!(TopP > 0 && TopP <= 1))
            throw Refused("top-p", "a probability above 0 and up to 1", $"{TopP}", "Leave it out to draw from all.");
    }

    private static HaloException Refused(string subject, string expected, string found, string advice) => new("generate", subject, expected, found, advice);
}
