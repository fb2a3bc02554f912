using Halo.CustomOps;
using Halo.Ir;

namespace Halo.Passes.Export.Weights;

/// <summary>Root-mean-square norms in each operator that writes them: inputs X and gain, output Y of X's shape.</summary>
internal static class NormNodes
{
    public static bool Is(Node node) =>
        node.Is(nameof(RmsNorm), HaloDomain.Name) || node.Is("SimplifiedLayerNormalization") || node.Is("RMSNormalization");

    /// <summary>The gain's values; null where the graph does not hold it.</summary>
    public static float[]? Gain(Node norm) => norm.Inputs[1]!.Initializer is { } gain ? WeightReader.All(gain) : null;

    /// <summary>The node's results beside Y, such as 1 / rms, are read by nobody.</summary>
    public static bool GivesOnlyY(Node norm) => norm.Outputs.Skip(1).All(o => o.Uses.Count == 0 && !o.IsGraphOutput);
}
