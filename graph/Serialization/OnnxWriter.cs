using Google.Protobuf;
using Halo.Io;
using Halo.Ir;
using Halo.Serialization.Proto;

namespace Halo.Serialization;

/// <summary>Writes ONNX files, streaming the content of initializers from wherever it lies. The same model gives the same bytes.</summary>
public static class OnnxWriter
{
    private const int GraphField = 7;
    private const int InitializerField = 5;
    private const int RawDataField = 9;

    /// <summary>External data is aligned as ONNX Runtime maps it: to whole pages.</summary>
    private const long PageBytes = 4096;

    /// <summary>Initializers below this size stay inline when the others go to a file.</summary>
    private const long InlineBytes = 1024;

    /// <summary>Content in memory up to this goes into a graph whose weights stay in files.</summary>
    private const long InlineBytesBesideWeights = 64 << 20;

    /// <summary>Content above this goes to a file of its own: half of protobuf's 2 GiB.</summary>
    private const long GraphBytes = 1L << 30;

    /// <summary>Writes the model, and its content beside it where that is asked for or nears protobuf's 2 GiB.</summary>
    /// <param name="model">The model.</param>
    /// <param name="path">The file.</param>
    /// <param name="externalData">Content goes to <c>NAME.onnx.data</c>, for folders that appear whole. Else, where there is much, to
    /// <see cref="ContentFile"/>: the graph that takes another's place has data of its own, so that each graph is right at every moment.</param>
    /// <param name="beforeGraph">Called when all is written and the graph is about to appear.</param>
    /// <exception cref="HaloException">The files cannot be written; nothing is left behind.</exception>
    public static void Write(Model model, string path, bool externalData = false, Action? beforeGraph = null) =>
        Write(model, path, externalData, GraphBytes, beforeGraph);

    internal static void Write(Model model, string path, bool externalData, long graphBytes, Action? beforeGraph = null)
    {
        var ofItsOwn = !externalData && model.Graph.Initializers.Sum(v => v.Initializer!.SizeBytes) > graphBytes;
        var placed = new Dictionary<Value, (string Location, long Offset)>();
        var data = ofItsOwn ? ContentFile.Of(path, model.Graph.Initializers) : path + ".data";
        if (ofItsOwn || externalData)
            Place(model.Graph, Path.GetFileName(data), placed);
        AtomicFile.Write(path, stream =>
        {
            Write(model, stream, placed);
            stream.Flush();
            if (ofItsOwn || externalData) // replaced last: a graph that does not fit leaves the old one with its data
                AtomicFile.Write(data, content => WriteExternalData(placed, content));
            beforeGraph?.Invoke();
        });
        if (ofItsOwn)
            ContentFile.RemoveOthers(path, data);
    }

    /// <summary>The bytes of a small model, as ONNX Runtime takes them.</summary>
    public static byte[] ToBytes(Model model)
    {
        using var stream = new MemoryStream();
        Write(model, stream, new Dictionary<Value, (string, long)>());
        return stream.ToArray();
    }

    /// <summary>
    /// The bytes of a model whose weights stay where they are, in files of one folder, named as external data; null where one that is not small lies elsewhere.
    /// </summary>
    public static (byte[] Bytes, string Folder)? ToBytesBesideWeights(Model model)
    {
        var placed = new Dictionary<Value, (string Location, long Offset)>();
        string? folder = null;
        long inline = 0;
        foreach (var value in model.Graph.Initializers.Where(v => v.Initializer!.Strings is null && v.Initializer.SizeBytes >= InlineBytes))
        {
            if (value.Initializer!.Content is not FileBytes part)
            {
                inline += value.Initializer.SizeBytes;
                if (value.Initializer.IsInFile || inline > InlineBytesBesideWeights)
                    return null;
                continue;
            }
            folder ??= Path.GetDirectoryName(part.File.Path);
            if (Path.GetDirectoryName(part.File.Path) != folder)
                return null;
            placed[value] = (Path.GetFileName(part.File.Path), part.Offset);
        }
        if (folder is null)
            return null;
        using var stream = new MemoryStream();
        Write(model, stream, placed);
        return (stream.ToArray(), folder);
    }

    private static void Write(Model model, Stream stream, Dictionary<Value, (string Location, long Offset)> placed)
    {
        var graph = IrToProto.Graph(model.Graph, withInitializers: false);
        var headers = model.Graph.Initializers.Select(v => Header(v, placed)).ToList();
        // Lengths first: protobuf writes the size of a message before the message.
        long graphSize = graph.CalculateSize();
        var sizes = new List<long>();
        foreach (var (value, header) in headers)
        {
            long size = header.CalculateSize();
            if (IsStreamed(value, placed))
                size += TagSize(RawDataField) + CodedOutputStream.ComputeUInt64Size((ulong)value.Initializer!.SizeBytes) + value.Initializer.SizeBytes;
            sizes.Add(size);
            graphSize += TagSize(InitializerField) + CodedOutputStream.ComputeUInt64Size((ulong)size) + size;
        }
        var output = new CodedOutputStream(stream, 1 << 16, leaveOpen: true);
        IrToProto.Model(model).WriteTo(output);
        output.WriteTag(GraphField, WireFormat.WireType.LengthDelimited);
        output.WriteUInt64((ulong)graphSize);
        graph.WriteTo(output);
        foreach (var ((value, header), size) in headers.Zip(sizes))
        {
            output.WriteTag(InitializerField, WireFormat.WireType.LengthDelimited);
            output.WriteUInt64((ulong)size);
            header.WriteTo(output);
            if (IsStreamed(value, placed))
            {
                output.WriteTag(RawDataField, WireFormat.WireType.LengthDelimited);
                output.WriteUInt64((ulong)value.Initializer!.SizeBytes);
                output.Flush();
                Copy(value.Initializer, stream);
            }
        }
        output.Flush();
    }

    private static bool IsStreamed(Value value, Dictionary<Value, (string, long)> placed) => value.Initializer!.Strings is null && !placed.ContainsKey(value);

    private static (Value Value, TensorProto Header) Header(Value value, Dictionary<Value, (string Location, long Offset)> placed)
    {
        var header = IrToProto.TensorHeader(value.Name, value.Initializer!);
        if (placed.TryGetValue(value, out var place))
        {
            header.DataLocation = TensorProto.Types.DataLocation.External;
            header.ExternalData.Add(new StringStringEntryProto { Key = "location", Value = place.Location });
            header.ExternalData.Add(new StringStringEntryProto { Key = "offset", Value = place.Offset.ToString() });
            header.ExternalData.Add(new StringStringEntryProto { Key = "length", Value = value.Initializer!.SizeBytes.ToString() });
        }
        return (value, header);
    }

    private static void Place(Graph graph, string location, Dictionary<Value, (string Location, long Offset)> placed)
    {
        long at = 0;
        foreach (var value in graph.Initializers.Where(v => v.Initializer!.Strings is null && v.Initializer.SizeBytes >= InlineBytes))
        {
            var start = (at + PageBytes - 1) / PageBytes * PageBytes;
            placed[value] = (location, start);
            at = start + value.Initializer!.SizeBytes;
        }
    }

    private static void WriteExternalData(Dictionary<Value, (string Location, long Offset)> placed, Stream stream)
    {
        long at = 0;
        foreach (var (value, (_, start)) in placed.OrderBy(p => p.Value.Offset))
        {
            stream.Write(new byte[start - at]);
            Copy(value.Initializer!, stream);
            at = start + value.Initializer!.SizeBytes;
        }
    }

    private static void Copy(Tensor tensor, Stream stream) => tensor.ReadChunks(bytes =>
    {
        stream.Write(bytes);
        return true;
    });

    private static int TagSize(int field) => CodedOutputStream.ComputeTagSize(field);
}
