using System.Runtime.InteropServices;
using Halo.Ir;
using Halo.Passes.Infra;
using Halo.Serialization;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Halo.Tests.Passes;

/// <summary>Stock ONNX Runtime on the CPU with its own optimizations off, one thread: the same graph gives the same bits.</summary>
public sealed class OrtEvaluator : IGraphEvaluator
{
    public IReadOnlyList<Ir.Tensor> Evaluate(Model model, IReadOnlyDictionary<string, Ir.Tensor> inputs)
    {
        using var options = new SessionOptions
        {
            GraphOptimizationLevel = GraphOptimizationLevel.ORT_DISABLE_ALL,
            IntraOpNumThreads = 1,
            LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR,
        };
        using var session = new InferenceSession(OnnxWriter.ToBytes(model), options);
        var names = inputs.Keys.ToList();
        var values = names.Select(n => ToOrt(inputs[n])).ToList();
        try
        {
            using var run = new RunOptions();
            using var results = session.Run(run, names, values, session.OutputNames);
            var byName = session.OutputNames.Zip(results).ToDictionary(p => p.First, p => FromOrt(p.Second));
            return [.. model.Graph.Outputs.Select(o => byName[o.Name])];
        }
        finally
        {
            values.ForEach(v => v.Dispose());
        }
    }

    private static OrtValue ToOrt(Ir.Tensor tensor)
    {
        var value = OrtValue.CreateAllocatedTensorValue(OrtAllocator.DefaultInstance, (TensorElementType)tensor.Type, [.. tensor.Sizes]);
        tensor.ToBytes().CopyTo(value.GetTensorMutableRawData());
        return value;
    }

    private static Ir.Tensor FromOrt(OrtValue value)
    {
        var info = value.GetTensorTypeAndShape();
        var bytes = info.ElementCount == 0 ? [] : MemoryMarshal.AsBytes(value.GetTensorMutableRawData()).ToArray();
        return new Ir.Tensor((ElementType)info.ElementDataType, info.Shape, new MemoryBytes(bytes));
    }
}
