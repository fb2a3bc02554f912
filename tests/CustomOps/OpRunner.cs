using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Runner.Sessions;
using Halo.Serialization;
using Microsoft.ML.OnnxRuntime;

namespace Halo.Tests.CustomOps;

/// <summary>Runs a few nodes in ONNX Runtime on the CPU: by their function bodies, or by the native kernels.</summary>
public static class OpRunner
{
    /// <summary>The outputs as float32; shapes that ONNX Runtime computed are compared with what the shape rules said.</summary>
    public static HostTensor[] Run(
        IReadOnlyList<HostTensor> inputs, Func<Model, GraphBuilder, IReadOnlyList<Value>, IReadOnlyList<Value>> build,
        GraphOptimizationLevel level = GraphOptimizationLevel.ORT_DISABLE_ALL, long opset = HaloDomain.MinOpset,
        OperatorKernels kernels = OperatorKernels.Functions, int threads = 2)
    {
        var model = new Model(new Graph(), HaloOperators.Catalogue) { Opsets = { [""] = opset } };
        var values = inputs.Select((x, i) => model.Graph.AddInput(new Value($"x{i}", ElementType.Float, Shape.Of(x.Sizes)))).ToArray();
        var end = GraphBuilder.AtEnd(model.Graph);
        var outputs = build(model, end, values);
        for (var i = 0; i < outputs.Count; i++)
            model.Graph.AddOutput(Cast(end, outputs[i], ElementType.Float, $"out{i}")); // float8 cannot cross the border to C#
        using var options = new SessionSettings { Optimization = level, Threads = threads, Operators = kernels }.ToOptions();
        using var session = new InferenceSession(OnnxWriter.ToBytes(model), options);
        using var runOptions = new RunOptions();
        var fed = inputs.Select(x => OrtValue.CreateTensorValueFromMemory(x.Elements, x.Sizes)).ToArray();
        using var results = session.Run(runOptions, [.. values.Select(v => v.Name)], fed, session.OutputNames);
        foreach (var value in fed)
            value.Dispose();
        return
        [
            .. results.Select((result, i) =>
            {
                var sizes = result.GetTensorTypeAndShape().Shape;
                Assert.Equal(outputs[i].Shape, Shape.Of(sizes));
                return new HostTensor(sizes, result.GetTensorDataAsSpan<float>().ToArray());
            }),
        ];
    }

    /// <summary>A Cast node; its type and shape are set here and do not hang on the rules under test.</summary>
    public static Value Cast(GraphBuilder build, Value x, ElementType to, string name)
    {
        var y = build.Op(name, "Cast", [x], Attribute.Of("to", (long)to));
        (y.Type, y.Shape) = (to, x.Shape);
        return y;
    }
}
