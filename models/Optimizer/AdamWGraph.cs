using Halo.Analysis;
using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Text;

namespace Halo.Models.Optimizer;

/// <summary>What moments are kept in.</summary>
public enum MomentPrecision
{
    /// <summary>The type of parameters and gradients.</summary>
    States,

    /// <summary>Codes of E4M3 under a scale for each 128 neighbours.</summary>
    Fp8,
}

/// <summary>What AdamW is set to for a whole run; what changes by step are inputs of the graph.</summary>
/// <param name="Beta1">Decay of the first moment.</param>
/// <param name="Beta2">Decay of the second moment.</param>
/// <param name="Epsilon">Added to the root of the second moment.</param>
/// <param name="WeightDecay">Decoupled decay of parameters, times the learning rate.</param>
/// <param name="ClipNorm">Largest global gradient norm; null does not clip.</param>
/// <param name="WeightDecayExclude">Patterns of the names of parameters that do not decay, with | between; null: all decay.</param>
/// <param name="Moments">What moments are kept in.</param>
public sealed record AdamWSettings(
    double Beta1 = 0.9, double Beta2 = 0.999, double Epsilon = 1e-8, double WeightDecay = 0, double? ClipNorm = null, string? WeightDecayExclude = null,
    MomentPrecision Moments = MomentPrecision.States)
{
    /// <summary>Throws where a pattern of <see cref="WeightDecayExclude"/> names no parameter.</summary>
    /// <exception cref="HaloException">One does.</exception>
    public void Check(IReadOnlyCollection<string> parameters)
    {
        if (Array.Find(Excluded, pattern => !parameters.Any(name => NamePattern.Matches(pattern, name))) is { } pattern)
        {
            throw new HaloException("adamw", "weight_decay_exclude", "patterns of names of trained parameters, such as "
                + string.Join(", ", parameters.Take(3)), $"'{pattern}', which matches none", "Leave it out or correct it.");
        }
    }

    /// <summary>Whether the weights of a parameter become smaller by themselves.</summary>
    public bool Decays(string parameter) => WeightDecay != 0 && !Array.Exists(Excluded, pattern => NamePattern.Matches(pattern, parameter));

    private string[] Excluded => NamePattern.Split(WeightDecayExclude ?? "");
}

/// <summary>The AdamW update of all parameters as one graph, to be bound in place.</summary>
/// <remarks>
/// Inputs: P, grad.P, exp_avg.P, exp_avg_sq.P of each parameter; learning_rate (), gradient_scale (), gradient_norm () float; step () int64 from 1.
/// Outputs: updated.P, updated.exp_avg.P, updated.exp_avg_sq.P; bind them to the buffers of the inputs. Each old value is read by one node,
/// which the update depends on, in the operator's body as well; so writing in place is safe although ONNX Runtime does not know of it.
///   g = grad * gradient_scale * min(1, clip / (gradient_norm + 1e-6))   [torch.nn.utils.clip_grad_norm_]
///   m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2      here and below com.halo.AdamW, a node for each parameter
///   p = p (1 - lr wd) - lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps)   [Loshchilov and Hutter 2019, algorithm 2]
/// Parameters and moments may be bfloat16: then there is an input seed () int64, and results are rounded by chance. Moments of 8 bits
/// (com.halo.AdamW8Bit) are the bits of E4M3 (uint8) in exp_avg.P, exp_avg_sq.P (there of the root), with exp_avg_scales.P and exp_avg_sq_scales.P, and need the seed too.
/// gradient_norm is that of the scaled gradient. Bias corrections are computed in float64: 1 - 0.999^t loses four digits in float32.
/// </remarks>
public static class AdamWGraph
{
    public const string LearningRate = "learning_rate";
    public const string GradientScale = "gradient_scale";
    public const string GradientNorm = "gradient_norm";
    public const string Step = "step";
    public const string Seed = "seed";
    public const string Updated = "updated.";
    public const string FirstMoment = "exp_avg.";
    public const string SecondMoment = "exp_avg_sq.";
    public const string FirstScales = "exp_avg_scales.";
    public const string SecondScales = "exp_avg_sq_scales.";

    /// <param name="parameters">Names and shapes.</param>
    /// <param name="settings">Of the whole run.</param>
    /// <param name="type">Of parameters and moments: float32 or bfloat16.</param>
    /// <param name="gradient">Of gradients, or of their sums over micro-batches; null: the same.</param>
    public static Model Build(IReadOnlyList<(string Name, Shape Shape)> parameters, AdamWSettings settings, ElementType type = ElementType.Float,
        ElementType? gradient = null)
    {
        using var activity = GraphActivity.Build("adamw");
        settings.Check([.. parameters.Select(p => p.Name)]);
        var model = NewModel("adamw");
        var graph = model.Graph;
        var build = GraphBuilder.AtEnd(graph);
        var factors = new AdamWFactors(graph, build, settings, type, GradientNorm);
        foreach (var (number, (name, shape)) in parameters.Index())
        {
            var p = graph.AddInput(new Value(name, type, shape));
            var g = graph.AddInput(new Value(TrainingNames.GradientOf(name), gradient ?? type, shape));
            factors.Update(p, g, $"{name}/adamw", number);
        }
        return model;
    }

    internal static Model NewModel(string name) => new(new Graph(name), HaloOperators.Catalogue) { ProducerName = "halo", Opsets = { [""] = 21 } };
}
