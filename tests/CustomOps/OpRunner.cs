using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Runner.Sessions;
using Halo.Serialization;
using Microsoft.ML.OnnxRuntime;

namespace Halo.Tests.CustomOps;

/// <summary>Runs a few nodes in ONNX Runtime on the CPU: by their function bodies, or by the native kernels; or on a GPU.</summary>
internal static class OpRunner
{
    /// <summary>The outputs as float32; shapes that ONNX Runtime computed are compared with what the shape rules said.</summary>
    public static HostTensor[] Run(
        IReadOnlyList<HostTensor> inputs, Func<GraphBuilder, IReadOnlyList<Value>, IReadOnlyList<Value>> build,
        GraphOptimizationLevel level = GraphOptimizationLevel.ORT_DISABLE_ALL, long opset = HaloDomain.MinOpset,
        OperatorKernels kernels = OperatorKernels.Functions, int threads = 2, Device? device = null)
    {
        var (model, outputs) = OpCall.ToModel(inputs, build, opset);
        using var options = new SessionSettings
        {
            Optimization = level,
            Threads = threads,
            Operators = kernels,
            Device = device ?? Device.Cpu,
        }.ToOptions();
        using var session = new InferenceSession(OnnxWriter.ToBytes(model), options);
        using var runOptions = new RunOptions();
        var fed = inputs.Select(x => OrtValue.CreateTensorValueFromMemory(x.Elements, x.Sizes)).ToArray();
        using var results = session.Run(runOptions, [.. model.Graph.Inputs.Select(v => v.Name)], fed, session.OutputNames);
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
}
