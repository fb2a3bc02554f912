using Halo.Analysis;
using Halo.CustomOps;
using Halo.Ir;

namespace Halo.Passes.Training.Gradients;

/// <summary>The operators of com.halo, which have gradient operators.</summary>
internal static class HaloGradients
{
    public static Dictionary<string, GradientRule> Rules { get; } = new()
    {
        ["RmsNorm"] = g =>
        {
            var (dx, dWeight) = g.Build.RmsNormGrad(g.D, g.In(0), g.In(1), Second(g), "");
            g.Add(0, () => dx);
            g.Add(1, () => dWeight);
        },
        ["SwiGlu"] = g =>
        {
            var (dGate, dUp) = g.Build.SwiGluGrad(g.D, g.In(0), g.In(1), "");
            g.Add(0, () => dGate);
            g.Add(1, () => dUp);
        },
        ["RotaryEmbedding"] = g =>
        {
            if (g.Needs(1) || g.Needs(2))
                throw g.Refused("tables of constants", "tables that depend on a parameter", "Freeze what the tables depend on.");
            g.Add(0, () => g.Build.RotaryEmbedding(g.D, g.In(1), g.In(2), g.Node.Input(3), g.Node.Int("inverse", 0) == 0, ""));
        },
        ["Attention"] = g =>
        {
            var (dq, dk, dv) = g.Build.AttentionGrad(g.D, g.In(0), g.In(1), g.In(2), g.Y, Second(g), g.Node.Input(3), g.Node.Input(4),
                g.Node.Int("causal", 1) != 0, g.Node.Float("scale", 0), "", g.Node.Int("window", 0));
            g.Add(0, () => dq);
            g.Add(1, () => dk);
            g.Add(2, () => dv);
        },
        ["CrossEntropy"] = g => g.Add(0, () => g.Build.CrossEntropyGrad(g.D, g.In(0), g.In(1), Second(g), "",
            g.Node.Int("ignoreIndex", TrainingNames.IgnoredLabel))),
        // The same words, so the same mask; nothing of the forward pass is read.
        ["Dropout"] = g => g.Add(0, () => g.Build.Dropout(g.D, g.In(1), g.In(2), g.Node.Float("ratio", 0), g.Node.Int("stream", 0), "")),
        ["HadamardTransform"] = g => g.Add(0, () => g.Build.HadamardTransform(g.D, (int)g.Node.Int("axis", 1), g.Node.Ints("blocks")!,
            g.Node.Int("inverse", 0) == 0, "")),
    };

    /// <summary>The output that is there for the gradient; nothing else may depend on it.</summary>
    private static Value Second(NodeGradient g)
    {
        if (g.Node.Outputs.Count < 2)
            throw g.Refused("two outputs", "one", "Give the node its second output, which the gradient reads.");
        return g.DOf(1) is null ? g.Node.Outputs[1] : throw g.Refused("a loss that depends on the first output alone",
            $"one that depends on '{g.Node.Outputs[1].Name}'", "Use the first output alone.");
    }
}
