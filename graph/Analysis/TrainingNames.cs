using Halo.Ir;

namespace Halo.Analysis;

/// <summary>What inputs and outputs of a language model's graphs are called, for training and for inference, and the label that does not count.</summary>
public static class TrainingNames
{
    /// <summary>Input (B, T): token ids.</summary>
    public const string InputIds = "input_ids";

    /// <summary>Input (B, T): 1 for a token, 0 for padding.</summary>
    public const string AttentionMask = "attention_mask";

    /// <summary>Input (B, T): the id that counts at a position, or <see cref="IgnoredLabel"/>; not shifted.</summary>
    public const string Labels = "labels";

    /// <summary>Input (B, T): a token's place in its document.</summary>
    public const string PositionIds = "position_ids";

    /// <summary>Input (B, T): the document that a token belongs to, where a row holds several.</summary>
    public const string DocumentIds = "document_ids";

    /// <summary>Output (B, T, V), float.</summary>
    public const string Logits = "logits";

    /// <summary>Output (): the mean cross-entropy of the labels that count.</summary>
    public const string Loss = "loss";

    /// <summary>What stands before a parameter's name in the name of its gradient, which is an output.</summary>
    public const string GradientPrefix = "grad.";

    /// <summary>Input (), float, of one rank's graph among several: what its gradients count in the update's.</summary>
    public const string GradientWeight = "gradient_weight";

    /// <summary>
    /// What stands before a parameter's name in that of an input (the shape of its gradient), float, of one rank's graph among several: what rounding has left of
    /// the rotated gradients that the rank has sent.
    /// </summary>
    public const string ResidualPrefix = "residual.";

    /// <summary>The same in the name of the output of what is left then, which may be written over the input.</summary>
    public const string UpdatedResidualPrefix = "updated." + ResidualPrefix;

    /// <summary>The label of a token that the loss leaves out.</summary>
    public const long IgnoredLabel = -100;

    /// <summary>All inputs (B, T).</summary>
    public static IReadOnlyList<string> TokenInputs { get; } = [InputIds, AttentionMask, Labels, PositionIds, DocumentIds];

    /// <summary>The name of the output that holds a parameter's gradient.</summary>
    public static string GradientOf(string parameter) => GradientPrefix + parameter;

    /// <summary>True of an input with what rounding has left of a parameter's gradients.</summary>
    public static bool IsResidual(Value input) => input.Name.StartsWith(ResidualPrefix, StringComparison.Ordinal);

    /// <summary>True of an output with a parameter's gradient.</summary>
    public static bool IsGradient(Value output) => output.Name.StartsWith(GradientPrefix, StringComparison.Ordinal);
}
