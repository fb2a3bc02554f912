using Halo.Analysis;
using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;

namespace Halo.Models.Optimizer;

/// <summary>What AdamW is set to for a whole run; what changes by step are inputs of the graph.</summary>
/// <param name="Beta1">Decay of the first moment.</param>
/// <param name="Beta2">Decay of the second moment.</param>
/// <param name="Epsilon">Added to the root of the second moment.</param>
/// <param name="WeightDecay">Decoupled decay of every parameter, times the learning rate.</param>
/// <param name="ClipNorm">Largest global gradient norm; null does not clip.</param>
public sealed record AdamWSettings(double Beta1 = 0.9, double Beta2 = 0.999, double Epsilon = 1e-8, double WeightDecay = 0, double? ClipNorm = null);

/// <summary>The AdamW update of all parameters as one graph, to be bound in place.</summary>
/// <remarks>
/// Inputs: P, grad.P, exp_avg.P, exp_avg_sq.P of each parameter; learning_rate (), gradient_scale (), gradient_norm () float; step () int64 from 1.
/// Outputs: updated.P, updated.exp_avg.P, updated.exp_avg_sq.P; bind them to the buffers of the inputs. Each old value is read by one node,
/// which the update depends on, in the operator's body as well; so writing in place is safe although ONNX Runtime does not know of it.
///   g = grad * gradient_scale * min(1, clip / (gradient_norm + 1e-6))   [torch.nn.utils.clip_grad_norm_]
///   m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2      here and below com.halo.AdamW, a node for each parameter
///   p = p (1 - lr wd) - lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps)   [Loshchilov and Hutter 2019, algorithm 2]
/// Parameters and moments may be bfloat16: then there is an input seed () int64, and results are rounded by chance.
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

    /// <summary>What clip_grad_norm_ adds to the norm.</summary>
    private const float ClipEpsilon = 1e-6f;

    /// <param name="parameters">Names and shapes.</param>
    /// <param name="settings">Of the whole run.</param>
    /// <param name="type">Of parameters and moments: float32 or bfloat16.</param>
    /// <param name="gradient">Of gradients; null: the same. Sums over micro-batches are float32.</param>
    public static Model Build(IReadOnlyList<(string Name, Shape Shape)> parameters, AdamWSettings settings, ElementType type = ElementType.Float,
        ElementType? gradient = null)
    {
        using var activity = GraphActivity.Build("adamw");
        var model = NewModel("adamw");
        var graph = model.Graph;
        Value Scalar(string name, ElementType type = ElementType.Float) => graph.AddInput(new Value(name, type, Shape.Scalar));
        var (lr, scale, norm, step) = (Scalar(LearningRate), Scalar(GradientScale), Scalar(GradientNorm), Scalar(Step, ElementType.Int64));
        var build = GraphBuilder.AtEnd(graph);
        Value Constant(string name, double value) => build.Constant(name, Tensor.Scalar((float)value));

        var factor = scale;
        if (settings.ClipNorm is { } clip)
        {
            var ratio = build.Op("clip/ratio", "Div",
                [Constant("clip_norm", clip), build.Op("clip/norm", "Add", [norm, Constant("clip_epsilon", ClipEpsilon)])]);
            factor = build.Op("gradient_factor", "Mul", [scale, build.Op("clip/factor", "Min", [ratio, Constant("one", 1)])]);
        }
        var t = build.Op("t", "Cast", [step], Attribute.Of("to", (long)ElementType.Double));
        var stepSize = build.Op("step_size", "Div", [lr, Single(build, "bias1", BiasCorrection(build, "bias1", settings.Beta1, t))]);
        var root2 = Single(build, "bias2", build.Op("bias2/root", "Sqrt", [BiasCorrection(build, "bias2", settings.Beta2, t)]));
        var keep = settings.WeightDecay == 0 ? null
            : build.Op("keep", "Sub", [Constant("1", 1), build.Op("decay", "Mul", [lr, Constant("weight_decay", settings.WeightDecay)])]);

        var seed = type == ElementType.Float ? null : Scalar(Seed, ElementType.Int64);
        foreach (var (number, (name, shape)) in parameters.Index())
        {
            Value Input(string prefix, ElementType? other = null) => graph.AddInput(new Value(prefix + name, other ?? type, shape));
            var (p, g, m, v) = (Input(""), Input(TrainingNames.GradientPrefix, gradient), Input(FirstMoment), Input(SecondMoment));
            var (newP, newM, newV) = build.AdamW(p, g, m, v, factor, stepSize, root2, keep, settings.Beta1, settings.Beta2, settings.Epsilon,
                $"{name}/adamw", seed is null ? null : (step, seed, number));
            graph.Rename(newP, Updated + name);
            graph.Rename(newM, Updated + FirstMoment + name);
            graph.Rename(newV, Updated + SecondMoment + name);
            foreach (var output in new[] { newP, newM, newV })
                graph.AddOutput(output);
        }
        return model;
    }

    internal static Model NewModel(string name) => new(new Graph(name), HaloOperators.Catalogue) { ProducerName = "halo", Opsets = { [""] = 21 } };

    /// <summary>1 - beta^t, in float64.</summary>
    private static Value BiasCorrection(GraphBuilder build, string name, double beta, Value t)
    {
        Value Constant(string part, double value) => build.Constant($"{name}/{part}", Tensor.Of(ElementType.Double, [], [value]));
        return build.Op($"{name}/correction", "Sub", [Constant("one", 1), build.Op($"{name}/power", "Pow", [Constant("beta", beta), t])]);
    }

    private static Value Single(GraphBuilder build, string name, Value x) =>
        build.Op($"{name}/float", "Cast", [x], Attribute.Of("to", (long)ElementType.Float));
}
