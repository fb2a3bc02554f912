using Halo.Ir;
using Halo.Models.Weights;
using Halo.Runner.Sessions;
using Microsoft.ML.OnnxRuntime;
using TensorElementType = Microsoft.ML.OnnxRuntime.Tensors.TensorElementType;

namespace Halo.Runner.Training.Engine;

/// <summary>One float32 buffer for each parameter (or its gradient, or a moment) that stays where it is for the whole run.</summary>
public sealed class ParameterBuffers : IDisposable
{
    private readonly Dictionary<string, OrtValue> _values = new(StringComparer.Ordinal);

    /// <summary>Zeros.</summary>
    public ParameterBuffers(IEnumerable<(string Name, Shape Shape)> parameters)
    {
        Parameters = [.. parameters];
        foreach (var (name, shape) in Parameters)
        {
            _values.Add(name, GraphSession.Allocate(TensorElementType.Float, shape.Sizes));
            _values[name].GetTensorMutableDataAsSpan<float>().Clear();
        }
    }

    public IReadOnlyList<(string Name, Shape Shape)> Parameters { get; }

    public OrtValue this[string name] => _values[name];

    public Span<float> Span(string name) => _values[name].GetTensorMutableDataAsSpan<float>();

    /// <summary>Fills every buffer from tensors of the same names behind <paramref name="prefix"/>; what else the file holds is not looked at.</summary>
    /// <exception cref="HaloException">A tensor is missing, of a type that is not float32, bfloat16 or float16, or of another shape.</exception>
    public void Load(string path, IReadOnlyDictionary<string, SafetensorsTensor> tensors, string prefix = "")
    {
        Check(Parameters, path, tensors, prefix);
        foreach (var (name, _) in Parameters)
            tensors[prefix + name].ReadFloats().CopyTo(Span(name));
    }

    /// <summary>Throws unless each parameter has a tensor that <see cref="Load"/> would take; reads none.</summary>
    /// <exception cref="HaloException">A tensor is missing, of a type that is not float32, bfloat16 or float16, or of another shape.</exception>
    public static void Check(
        IEnumerable<(string Name, Shape Shape)> parameters, string path, IReadOnlyDictionary<string, SafetensorsTensor> tensors, string prefix = "")
    {
        foreach (var (name, shape) in parameters)
        {
            if (!tensors.TryGetValue(prefix + name, out var tensor))
                throw new HaloException("load-parameters", $"{path}: '{prefix + name}'", $"float32{shape}", "no such tensor",
                    "Give the checkpoint that the graph was exported from.");
            if (tensor.DType is not (ElementType.Float or ElementType.BFloat16 or ElementType.Float16) || !Shape.Of([.. tensor.Shape]).Equals(shape))
            {
                throw new HaloException("load-parameters", $"{path}: '{prefix + name}'", $"float32 (or bfloat16, float16){shape}",
                    $"{tensor.DType.Name()}[{string.Join(", ", tensor.Shape)}]", "Give the checkpoint that the graph was exported from.");
            }
        }
    }

    /// <summary>The buffers as float32 tensors of a safetensors file.</summary>
    public IEnumerable<SafetensorsSource> Sources(string prefix = "") =>
        Parameters.Select(p => new SafetensorsSource(prefix + p.Name, ElementType.Float, p.Shape.Sizes,
            stream => stream.Write(System.Runtime.InteropServices.MemoryMarshal.AsBytes(Span(p.Name)))));

    public void Dispose()
    {
        foreach (var value in _values.Values)
            value.Dispose();
    }
}
