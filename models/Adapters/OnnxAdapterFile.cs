using Google.FlatBuffers;
using Halo.Io;
using Halo.Ir;

namespace Halo.Models.Adapters;

/// <summary>An adapter as ONNX Runtime and its GenAI library load one beside a model: a FlatBuffer of named tensors.</summary>
/// <remarks>
/// Tables of [ONNX Runtime, onnxruntime/lora/adapter_format/adapter_schema.fbs], format version 1: Parameter (name, dims: int64, data_type as ONNX numbers it,
/// raw_data aligned to 8 bytes), Adapter (format_version, adapter_version, model_version, parameters), file identifier TORT.
/// </remarks>
internal static class OnnxAdapterFile
{
    /// <summary>What the runtime's documentation calls such files.</summary>
    public const string Extension = ".onnx_adapter";

    private const string Identifier = "TORT";

    private const int FormatVersion = 1, Fields = 4, Alignment = 8, First = 1 << 16;

    /// <summary>A FlatBuffer's offsets are 32 bits.</summary>
    private const long MostBytes = int.MaxValue - (1 << 24);

    /// <summary>Writes a file, whole or not at all.</summary>
    /// <param name="path">Where to.</param>
    /// <param name="parameters">In any order; each a graph's input by name.</param>
    /// <exception cref="HaloException">They are too large for the format.</exception>
    public static void Write(string path, IReadOnlyList<(string Name, Tensor Value)> parameters)
    {
        if (parameters.Sum(p => p.Value.SizeBytes) is var bytes && bytes > MostBytes)
        {
            throw new HaloException("onnx-adapter", path, "an adapter below 2 GB, which is what the format holds", $"{bytes} bytes",
                "Take a lower rank or fewer layers, or merge the adapter.");
        }
        var builder = new FlatBufferBuilder(First);
        var tables = parameters.OrderBy(p => p.Name, StringComparer.Ordinal).Select(p => Parameter(builder, p.Name, p.Value)).ToList();
        builder.StartVector(sizeof(int), tables.Count, sizeof(int));
        foreach (var table in Enumerable.Reverse(tables))
            builder.AddOffset(table);
        var list = builder.EndVector();
        builder.StartTable(Fields);
        builder.AddInt(0, FormatVersion, 0);
        builder.AddInt(1, 1, 0);
        builder.AddInt(2, 1, 0);
        builder.AddOffset(3, list.Value, 0);
        builder.Finish(builder.EndTable(), Identifier);
        AtomicFile.Write(path, stream => stream.Write(builder.SizedByteArray()));
    }

    private static int Parameter(FlatBufferBuilder builder, string name, Tensor value)
    {
        var text = builder.CreateString(name);
        builder.StartVector(sizeof(long), value.Sizes.Count, sizeof(long));
        for (var i = value.Sizes.Count - 1; i >= 0; i--)
            builder.AddLong(value.Sizes[i]);
        var sizes = builder.EndVector();
        builder.StartVector(1, checked((int)value.SizeBytes), Alignment);
        builder.Add(value.ToBytes());
        var data = builder.EndVector();
        builder.StartTable(Fields);
        builder.AddOffset(0, text.Value, 0);
        builder.AddOffset(1, sizes.Value, 0);
        builder.AddInt(2, (int)value.Type, 0);
        builder.AddOffset(3, data.Value, 0);
        return builder.EndTable();
    }
}
