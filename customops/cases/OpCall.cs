using Halo.Building;
using Halo.Ir;

namespace Halo.CustomOps.Cases;

/// <summary>What an output has to be: float64 values, and how far each may be off.</summary>
public sealed record Expected(double[] Elements, Func<int, double> Tolerance)
{
    /// <summary>How much farther off a CUDA kernel may be, which rounds between where that of the CPU does not.</summary>
    public Func<int, double> OnGpu { get; init; } = _ => 0;
}

/// <summary>A function of several tensors, computed in float64, and the point at which it is differentiated.</summary>
public sealed record ScalarFunction(IReadOnlyList<double[]> Point, Func<IReadOnlyList<double[]>, double> Value);

/// <summary>One call of an operator: its inputs, how the node is made, and what comes out by a slow, plainly right computation.</summary>
/// <param name="Name">Unique among the calls of its operator.</param>
/// <param name="Inputs">Graph inputs, all float32; ids and types of 16 bits are cast in the graph.</param>
/// <param name="Build">Makes the node, and the casts in front of it, over values of the inputs; returns what comes out.</param>
/// <param name="Oracle">Every output in float64, with its tolerance.</param>
public sealed record OpCall(
    string Name, IReadOnlyList<HostTensor> Inputs, Func<GraphBuilder, IReadOnlyList<Value>, IReadOnlyList<Value>> Build,
    Func<IReadOnlyList<Expected>> Oracle)
{
    /// <summary>Of an operator that computes a gradient: what its outputs are the gradient of.</summary>
    public ScalarFunction? GradientOf { get; init; }

    /// <summary>The call as a graph of its own: inputs x0, x1 and so on, outputs out0, out1, all float32, since float8 cannot cross the border to C#.</summary>
    /// <returns>The model, and the values before they were cast to outputs.</returns>
    public (Model Model, IReadOnlyList<Value> Outputs) ToModel(long opset = HaloDomain.MinOpset) => ToModel(Inputs, Build, opset);

    /// <inheritdoc cref="ToModel(long)"/>
    public static (Model Model, IReadOnlyList<Value> Outputs) ToModel(IReadOnlyList<HostTensor> inputs,
        Func<GraphBuilder, IReadOnlyList<Value>, IReadOnlyList<Value>> build, long opset = HaloDomain.MinOpset)
    {
        var model = new Model(new Graph("call"), HaloOperators.Catalogue) { Opsets = { [""] = opset } };
        var values = inputs.Select((x, i) => model.Graph.AddInput(new Value($"x{i}", ElementType.Float, Shape.Of(x.Sizes)))).ToArray();
        var end = GraphBuilder.AtEnd(model.Graph);
        var outputs = build(end, values);
        for (var i = 0; i < outputs.Count; i++)
            model.Graph.AddOutput(OpCase.Cast(end, outputs[i], ElementType.Float, $"out{i}"));
        return (model, outputs);
    }

    public override string ToString() => Name;
}

/// <summary>A call of a size that is worth timing.</summary>
/// <param name="Kernel">Its name in tables of <c>halo bench kernels</c>.</param>
/// <param name="Type">Of its elements, or the format of its codes.</param>
/// <param name="Shape">Of its largest operand.</param>
/// <param name="Call">Makes it; inputs and what they are computed from are not made before they are wanted.</param>
public sealed record OpBenchmark(string Kernel, string Type, string Shape, Func<Random, OpCall> Call)
{
    /// <summary>Read and written, once each; 0 for products.</summary>
    public double Bytes { get; init; }

    /// <summary>Multiplications and additions of products; 0 where memory is the bound.</summary>
    public double Operations { get; init; }
}
