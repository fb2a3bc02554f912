using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;

namespace Halo.Models.Optimizer;

/// <summary>What all updates of a step share, as nodes of a graph: the gradients' factor, the step's size, the corrections of bias.</summary>
/// <remarks>The inputs and equations are those of <see cref="AdamWGraph"/>.</remarks>
internal sealed class AdamWFactors
{
    /// <summary>What clip_grad_norm_ adds to the norm.</summary>
    private const float ClipEpsilon = 1e-6f;

    private readonly Graph _graph;
    private readonly GraphBuilder _build;
    private readonly AdamWSettings _settings;
    private readonly Value _factor, _stepSize, _root2, _step;
    private readonly Value? _keep, _seed;

    /// <param name="graph">Gets the scalars as inputs.</param>
    /// <param name="build">Makes the nodes.</param>
    /// <param name="settings">Of the run.</param>
    /// <param name="type">Of parameters and moments.</param>
    /// <param name="norm">Names the input with the norm that clipping goes by.</param>
    public AdamWFactors(Graph graph, GraphBuilder build, AdamWSettings settings, ElementType type, string norm)
    {
        (_graph, _build, _settings) = (graph, build, settings);
        Value Scalar(string name, ElementType type = ElementType.Float) => graph.AddInput(new Value(name, type, Shape.Scalar));
        var (lr, scale, normOf, step) = (Scalar(AdamWGraph.LearningRate), Scalar(AdamWGraph.GradientScale), Scalar(norm),
            Scalar(AdamWGraph.Step, ElementType.Int64));
        Value Constant(string name, double value) => build.Constant(name, Tensor.Scalar((float)value));

        _factor = scale;
        if (settings.ClipNorm is { } clip)
        {
            var ratio = build.Op("clip/ratio", "Div",
                [Constant("clip_norm", clip), build.Op("clip/norm", "Add", [normOf, Constant("clip_epsilon", ClipEpsilon)])]);
            _factor = build.Op("gradient_factor", "Mul", [scale, build.Op("clip/factor", "Min", [ratio, Constant("one", 1)])]);
        }
        var t = build.Op("t", "Cast", [step], Attribute.Of("to", (long)ElementType.Double));
        _stepSize = build.Op("step_size", "Div", [lr, Single("bias1", BiasCorrection("bias1", settings.Beta1, t))]);
        _root2 = Single("bias2", build.Op("bias2/root", "Sqrt", [BiasCorrection("bias2", settings.Beta2, t)]));
        _keep = settings.WeightDecay == 0 ? null
            : build.Op("keep", "Sub", [Constant("1", 1), build.Op("decay", "Mul", [lr, Constant("weight_decay", settings.WeightDecay)])]);
        (_step, _seed) = (step, type == ElementType.Float && settings.Moments == MomentPrecision.States ? null : Scalar(AdamWGraph.Seed, ElementType.Int64));
    }

    /// <summary>The update of a parameter: its moments as inputs, all three new as outputs.</summary>
    /// <param name="p">The parameter, an input.</param>
    /// <param name="gradient">Its gradient.</param>
    /// <param name="name">Of the node.</param>
    /// <param name="number">Of the parameter in the run.</param>
    public void Update(Value p, Value gradient, string name, int number)
    {
        if (_settings.Moments == MomentPrecision.Fp8)
        {
            UpdateCodes(p, gradient, name, number);
            return;
        }
        Value Moment(string prefix) => _graph.AddInput(new Value(prefix + p.Name, p.Type, p.Shape));
        var (m, v) = (Moment(AdamWGraph.FirstMoment), Moment(AdamWGraph.SecondMoment));
        var (newP, newM, newV) = _build.AdamW(p, gradient, m, v, _factor, _stepSize, _root2, _settings.Decays(p.Name) ? _keep : null,
            _settings.Beta1, _settings.Beta2, _settings.Epsilon,
            name, _seed is null ? null : (_step, _seed, number));
        foreach (var (output, prefix) in new[] { (newP, ""), (newM, AdamWGraph.FirstMoment), (newV, AdamWGraph.SecondMoment) })
            Give(output, prefix + p.Name);
    }

    private void UpdateCodes(Value p, Value gradient, string name, int number)
    {
        string[] prefixes = [AdamWGraph.FirstMoment, AdamWGraph.FirstScales, AdamWGraph.SecondMoment, AdamWGraph.SecondScales];
        var moments = prefixes.Select((prefix, i) => _graph.AddInput(i % 2 == 0 ? new Value(prefix + p.Name, ElementType.UInt8, p.Shape)
            : new Value(prefix + p.Name, ElementType.Float, AdamW8Bit.ShapeOfScales(p.Shape!)))).ToList();
        var outputs = _build.AdamW8Bit([p, gradient, .. moments, _factor, _stepSize, _root2, _step, _seed!, .. _keep is null || !_settings.Decays(p.Name) ? Array.Empty<Value>() : [_keep]],
            _settings.Beta1, _settings.Beta2, _settings.Epsilon, number, name);
        foreach (var (output, prefix) in outputs.Zip(["", .. prefixes]))
            Give(output, prefix + p.Name);
    }

    private void Give(Value output, string name)
    {
        _graph.Rename(output, AdamWGraph.Updated + name);
        _graph.AddOutput(output);
    }

    /// <summary>1 - beta^t, in float64.</summary>
    private Value BiasCorrection(string name, double beta, Value t)
    {
        Value Constant(string part, double value) => _build.Constant($"{name}/{part}", Tensor.Of(ElementType.Double, [], [value]));
        return _build.Op($"{name}/correction", "Sub", [Constant("one", 1), _build.Op($"{name}/power", "Pow", [Constant("beta", beta), t])]);
    }

    private Value Single(string name, Value x) => _build.Op($"{name}/float", "Cast", [x], Attribute.Of("to", (long)ElementType.Float));
}
