using System.Text.Json.Serialization;

namespace Halo.Training;

public enum MetricsKind
{
    /// <summary>One update: the loss is that of its batch, before the update.</summary>
    Train,

    /// <summary>The validation data after <see cref="MetricsRow.Step"/> updates.</summary>
    Eval,
}

/// <summary>One line of metrics.jsonl. What a kind does not have is null and not written.</summary>
public sealed record MetricsRow
{
    /// <summary>Updates done: the first update's row has 1, the evaluation before training 0.</summary>
    public required int Step { get; init; }

    public required MetricsKind Kind { get; init; }

    /// <summary>Mean over the counted tokens, in nats.</summary>
    public required double Loss { get; init; }

    /// <summary>The loss of each file where several are evaluated; <see cref="Loss"/> is that of all.</summary>
    public IReadOnlyDictionary<string, double>? Files { get; init; }

    /// <summary>From 0, with fractions within the epoch.</summary>
    public double? Epoch { get; init; }

    /// <summary>L2 norm of the whole gradient, before clipping.</summary>
    public double? GradientNorm { get; init; }

    public double? LearningRate { get; init; }

    public double? Milliseconds { get; init; }

    /// <summary>Tokens without padding.</summary>
    public long? Tokens { get; init; }

    /// <summary>Tokens that the loss is the mean of.</summary>
    public long? CountedTokens { get; init; }

    /// <summary>10^12 operations of the model's matrix products a second, padding included, what is computed once more left out; all ranks together.</summary>
    public double? Tflops { get; init; }

    /// <summary>That over what the GPUs' datasheet has for bfloat16; null on the CPU, and for a GPU that is not known.</summary>
    public double? Bf16Share { get; init; }

    /// <summary>The same of 8-bit floats.</summary>
    public double? Fp8Share { get; init; }

    /// <summary>Bytes of GPU memory in use at the most since the last such row.</summary>
    public long? MemoryPeak { get; init; }

    /// <summary>Bytes of GPU memory that the driver gave out.</summary>
    public long? MemoryReserved { get; init; }

    /// <summary>Bytes that the first rank has sent to others since the last such row; null for a process that is alone.</summary>
    public long? SentBytes { get; init; }

    /// <summary>How long its collectives ran, one after the other, of those that are known to be over.</summary>
    public double? CollectiveMilliseconds { get; init; }

    /// <summary>How long its computation waited for them.</summary>
    public double? WaitMilliseconds { get; init; }

    /// <summary>Seconds since 1970, when the row was taken.</summary>
    public double Time { get; init; }

    [JsonIgnore]
    public double? TokensPerSecond => Tokens is { } tokens && Milliseconds is > 0 and { } ms ? tokens * 1000 / ms : null;
}
