namespace Halo.Passes.Training.Gradients;

/// <summary>ONNX Runtime's own operators, domain com.microsoft.</summary>
internal static class MicrosoftGradients
{
    public static Dictionary<string, GradientRule> Rules { get; } = new()
    {
        ["FusedMatMul"] = ProductGradients.FusedMatMul,
        ["Gelu"] = g => g.Add(0, () => ActivationGradients.Gelu(g)),
        ["QuickGelu"] = g => g.Add(0, () => ActivationGradients.Swish(g, g.Node.Float("alpha", 1.702f))),
    };
}
