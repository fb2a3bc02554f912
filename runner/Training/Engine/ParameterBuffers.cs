using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using Halo.Ir;
using Halo.Models.Weights;
using Halo.Runner.Distributed;
using Halo.Runner.Sessions;
using Microsoft.ML.OnnxRuntime;

using Tensor = Halo.Ir.Tensor;

namespace Halo.Runner.Training.Engine;

/// <summary>One tensor for each parameter (or its gradient, or a moment) that stays where it is for the whole run, on the device of the graphs.</summary>
internal sealed class ParameterBuffers : IDisposable
{
    private readonly Dictionary<string, DeviceTensor> _values = new(StringComparer.Ordinal);
    private readonly ElementType _type;

    /// <summary>Zeros.</summary>
    /// <param name="parameters">Names and shapes.</param>
    /// <param name="device">Where they lie.</param>
    /// <param name="type">float32, or a type of 16 bits, which values are rounded to.</param>
    /// <param name="onHost">In page-locked memory of the host where the device is a GPU.</param>
    public ParameterBuffers(IEnumerable<(string Name, Shape Shape)> parameters, Device device, ElementType type = ElementType.Float, bool onHost = false)
    {
        (Parameters, _type) = ([.. parameters], type);
        foreach (var (name, shape) in Parameters)
            _values.Add(name, new DeviceTensor(device, type, shape.Sizes, onHost));
    }

    public IReadOnlyList<(string Name, Shape Shape)> Parameters { get; }

    public ElementType Type => _type;

    public Shape ShapeOf(string name) => Parameters.First(p => p.Name == name).Shape;

    public OrtValue this[string name] => _values[name].Value;

    /// <summary>Bytes of a buffer as a tensor of another type.</summary>
    /// <inheritdoc cref="DeviceTensor.Lend"/>
    public OrtValue Lend(string name, ElementType type, Shape shape, long offset) => _values[name].Lend(type, shape.Sizes, offset);

    /// <summary>The values themselves, where they are float32 on the CPU.</summary>
    public Span<float> Span(string name) => _values[name].Span<float>();

    /// <summary>The values as float32.</summary>
    public float[] Read(string name)
    {
        if (_type == ElementType.Float)
            return _values[name].ToArray<float>();
        var bits = _values[name].ToArray<ushort>();
        var values = new float[bits.Length];
        if (_type == ElementType.BFloat16)
            FloatConversions.FromBFloat16(bits, values);
        else
            TensorPrimitives.ConvertToSingle(MemoryMarshal.Cast<ushort, Half>(bits), values);
        return values;
    }

    /// <summary>The values as they are, to the bit.</summary>
    public byte[] Bytes(string name) => _values[name].ToArray<byte>();

    /// <summary>Writes all values, rounded to the buffer's type.</summary>
    public void Write(string name, ReadOnlySpan<float> values)
    {
        if (_type == ElementType.Float)
        {
            _values[name].Write(values);
            return;
        }
        var bits = new ushort[values.Length];
        if (_type == ElementType.BFloat16)
            FloatConversions.ToBFloat16(values, bits);
        else
            TensorPrimitives.ConvertToHalf(values, MemoryMarshal.Cast<ushort, Half>(bits.AsSpan()));
        _values[name].Write<ushort>(bits);
    }

    /// <summary>
    /// Fills every buffer, or those of <paramref name="only"/>, from tensors of the same names behind <paramref name="prefix"/>; what else the file holds is
    /// not looked at.
    /// </summary>
    /// <exception cref="HaloException">A tensor is missing, of a type that is not float32, bfloat16 or float16, of another shape, or has values that are not
    /// finite.</exception>
    public void Load(
        string path, IReadOnlyDictionary<string, SafetensorsTensor> tensors, string prefix = "", IEnumerable<(string Name, Shape Shape)>? only = null) =>
        Load(path, tensors, prefix, Rows.All, only);

    /// <summary>As above; of parameters whose buffers have some of the rows, those.</summary>
    public void Load(string path, IReadOnlyDictionary<string, SafetensorsTensor> tensors, string prefix, Rows rows,
        IEnumerable<(string Name, Shape Shape)>? only = null)
    {
        List<(string Name, Shape Shape)> loaded = [.. only ?? Parameters];
        Check(loaded.Select(p => (p.Name, rows.WholeOf(p.Name, p.Shape))), path, tensors, prefix);
        foreach (var (name, shape) in loaded)
        {
            Load(_values[name], path, tensors[prefix + name], rows.FirstOf(name, shape), shape.ElementCount!.Value);
        }
    }

    /// <summary>A value's elements from those of a file, from one of these on; those of the same type from where the file is mapped.</summary>
    private unsafe void Load(DeviceTensor value, string path, SafetensorsTensor tensor, long first, long count)
    {
        var size = _type.Bits() / 8;
        if (tensor.DType == _type)
        {
            FiniteValues.Read(path, tensor.Name, tensor, first, count);
            fixed (byte* mapped = tensor.Slice(first * size, (int)Math.Min(count * size, int.MaxValue))) // the rest lies behind it
                value.Write((nint)mapped);
            return;
        }
        using var memory = new HostMemory(count * size);
        FiniteValues.Read(path, tensor.Name, tensor, first, count,
            (at, values) => FloatConversions.FromFloat(_type, values, memory.Slice(at * size, values.Length * size)));
        value.Write(memory.Address);
    }

    /// <summary>Fills every buffer from tensors of the same names, which fit them.</summary>
    public void LoadAll(IReadOnlyDictionary<string, Tensor> tensors)
    {
        foreach (var (name, shape) in Parameters)
        {
            if (!tensors.TryGetValue(name, out var tensor) || !tensor.Type.IsFloat() || !tensor.Shape.Equals(shape))
                throw new HaloException("load-parameters", $"'{name}'", $"float32{shape}", $"{tensor}", "Give the graph's own checkpoint.");
            var values = new float[tensor.ElementCount];
            FloatConversions.ToFloat(tensor.Type, tensor.ToBytes(), values);
            Write(name, values);
        }
    }

    /// <summary>Throws unless each parameter has a tensor that <c>Load</c> would take; reads none.</summary>
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
        Parameters.Select(p => new SafetensorsSource(prefix + p.Name, ElementType.Float, p.Shape.Sizes, stream => Write(stream, Read(p.Name))));

    /// <summary>In parts: the bytes of a large embedding are more than a span counts.</summary>
    private static void Write(Stream stream, float[] values)
    {
        for (var at = 0; at < values.Length; at += PartLength)
            stream.Write(MemoryMarshal.AsBytes(values.AsSpan(at, Math.Min(PartLength, values.Length - at))));
    }

    private const int PartLength = 1 << 22;

    /// <summary>The buffers as they are, to the bit, as tensors of a safetensors file.</summary>
    public IEnumerable<SafetensorsSource> ExactSources(string prefix = "") => _type == ElementType.Float ? Sources(prefix)
        : Parameters.Select(p => new SafetensorsSource(prefix + p.Name, _type, p.Shape.Sizes, stream => stream.Write(Bytes(p.Name))));

    /// <summary>Fills every buffer with what <see cref="ExactSources"/> wrote.</summary>
    /// <exception cref="HaloException">A tensor is missing, or of another type or shape.</exception>
    public void LoadExact(string path, IReadOnlyDictionary<string, SafetensorsTensor> tensors, string prefix)
    {
        foreach (var (name, shape) in Parameters)
        {
            var tensor = tensors.GetValueOrDefault(prefix + name);
            if (tensor is null || tensor.DType != _type || !Shape.Of([.. tensor.Shape]).Equals(shape))
            {
                throw new HaloException("load-parameters", $"{path}: '{prefix + name}'", $"{_type.Name()}{shape}",
                    tensor is null ? "no such tensor" : $"{tensor.DType.Name()}[{string.Join(", ", tensor.Shape)}]", "Give the checkpoint of this run.");
            }
            _values[name].Write(tensor.Bytes());
        }
    }

    public void Dispose()
    {
        foreach (var value in _values.Values)
            value.Dispose();
    }
}
