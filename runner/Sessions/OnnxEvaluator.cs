using System.Runtime.InteropServices;
using Halo.Ir;
using Halo.Passes.Infra;
using Halo.Serialization;
using Microsoft.ML.OnnxRuntime;
using TensorElementType = Microsoft.ML.OnnxRuntime.Tensors.TensorElementType;

namespace Halo.Runner.Sessions;

/// <summary>Runs a model once with ONNX Runtime, without its graph optimisations: what the nodes say is what is computed.</summary>
/// <remarks>On one thread, because ONNX Runtime's parallel ScatterND loses updates (OrderScatterAdds), and a reference must not.</remarks>
/// <param name="operators">Function bodies are the plain form of our operators.</param>
internal sealed class OnnxEvaluator(OperatorKernels operators = OperatorKernels.Functions) : IGraphEvaluator
{
    private readonly SessionSettings _settings = new() { Optimization = GraphOptimizationLevel.ORT_DISABLE_ALL, Threads = 1, Operators = operators };

    public IReadOnlyList<Tensor> Evaluate(Model model, IReadOnlyDictionary<string, Tensor> inputs)
    {
        // Through a file, because a model with large constants does not fit one array.
        var folder = Directory.CreateTempSubdirectory("halo-evaluate-").FullName;
        try
        {
            var path = Path.Combine(folder, "model.onnx");
            OnnxWriter.Write(model, path);
            using var options = _settings.ToOptions();
            using var session = Open(path, options);
            using var run = new RunOptions();
            var values = inputs.Where(i => session.InputMetadata.ContainsKey(i.Key)).ToDictionary(i => i.Key, i => ToOrtValue(i.Value));
            using var outputs = session.Run(run, values, [.. model.Graph.Outputs.Select(o => o.Name)]);
            foreach (var value in values.Values)
                value.Dispose();
            return [.. outputs.Select(FromOrtValue)];
        }
        catch (OnnxRuntimeException e)
        {
            throw new HaloException("evaluate", $"graph '{model.Graph.Name}'", "a graph that ONNX Runtime runs", e.Message.Split('\n')[0].TrimEnd('.'),
                "Export it again.", e);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    public static OrtValue ToOrtValue(Tensor tensor)
    {
        var value = OrtValue.CreateAllocatedTensorValue(OrtAllocator.DefaultInstance, (TensorElementType)(int)tensor.Type, [.. tensor.Sizes]);
        if (tensor.SizeBytes == 0)
            return value;
        var at = 0L;
        tensor.ReadChunks(bytes =>
        {
            bytes.CopyTo(value.GetTensorMutableRawData()[checked((int)at)..]);
            at += bytes.Length;
            return true;
        });
        return value;
    }

    public static Tensor FromOrtValue(OrtValue value)
    {
        var info = value.GetTensorTypeAndShape();
        var bytes = info.ElementCount == 0 ? [] : MemoryMarshal.AsBytes(value.GetTensorMutableRawData()).ToArray();
        return Tensor.Of<byte>((ElementType)(int)info.ElementDataType, info.Shape, bytes);
    }

    private static InferenceSession Open(string path, SessionOptions options) => new(path, options);
}
