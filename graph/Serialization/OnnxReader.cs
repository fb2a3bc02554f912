using Google.Protobuf;
using Halo.Io;
using Halo.Ir;
using Halo.Operators;
using Halo.Serialization.Proto;

namespace Halo.Serialization;

/// <summary>Reads ONNX files: IR versions 3 to 13, opsets from 13. Weights stay in their files, inline or external.</summary>
/// <remarks>[ONNX IR specification]. A protobuf file has at most 2 GiB, so one mapped window spans it and offsets into it are ints.</remarks>
public static class OnnxReader
{
    private const int GraphField = 7;
    private const int InitializerField = 5;
    private const string Reader = "read-onnx";

    /// <exception cref="HaloException">The file is missing, damaged, or uses what Halo does not carry through a rewrite.</exception>
    /// <param name="path">The .onnx file.</param>
    /// <param name="operators">What is known of the operators that may occur in it.</param>
    public static Model Read(string path, OperatorCatalogue operators)
    {
        if (!File.Exists(path))
            throw new HaloException(Reader, path, "an ONNX file", Directory.Exists(path) ? "a folder" : "no such file", "Name the .onnx file.");
        using var activity = GraphActivity.Parse(path);
        var file = new MappedFile(path);
        if (file.SizeBytes > int.MaxValue)
            throw new HaloException(Reader, path, "at most 2 GiB, protobuf's limit", $"{file.SizeBytes} bytes", "Export the weights as external data.");
        try
        {
            return file.View(0, (int)file.SizeBytes, bytes => ReadModel(path, file, bytes, operators));
        }
        catch (Exception e) when (e is not HaloException and not IOException and not UnauthorizedAccessException and not OutOfMemoryException
            || e is InvalidDataException or InvalidProtocolBufferException)
        {
            if (FileContent.Other(path) is var (found, advice))
                throw new HaloException(Reader, path, "an ONNX model", found, advice, e);
            throw FileContent.IsJson(path)
                ? new HaloException(Reader, path, "an ONNX model", "JSON text, or safetensors", "Name the .onnx file; weights are given for themselves.", e)
                : new HaloException(Reader, path, "an ONNX model", e.Message.TrimEnd('.'), "The file is damaged or cut short; export or copy it again.", e);
        }
    }

    private static Model ReadModel(string path, MappedFile file, ReadOnlySpan<byte> bytes, OperatorCatalogue operators)
    {
        // The model's own fields, then the graph's, are small; initializers are visited one by one where they lie.
        var header = new List<byte>();
        (int Start, int Length)? graph = null;
        var scanner = new WireScanner(bytes);
        while (scanner.Next())
        {
            if (scanner is { Field: GraphField, IsLengthDelimited: true })
                graph = graph is null ? scanner.Content.GetOffsetAndLength(bytes.Length) : throw new InvalidDataException("two graphs");
            else
                header.AddRange(bytes[scanner.Whole]);
        }
        var messages = new MessageCount();
        messages.Add(header.ToArray(), MessageCount.Kind.Model);
        var model = ModelProto.Parser.ParseFrom(header.ToArray());
        if (graph is not { } found || model.IrVersion == 0)
            throw new InvalidDataException("no graph or no IR version");
        CheckSupported(path, model);

        var tensors = new TensorReader(path);
        var initializers = new List<(string, Tensor)>();
        var rest = new List<byte>();
        var body = bytes.Slice(found.Start, found.Length);
        var fields = new WireScanner(body);
        while (fields.Next())
        {
            if (fields is { Field: InitializerField, IsLengthDelimited: true })
            {
                messages.Add(body[fields.Content], MessageCount.Kind.Tensor);
                initializers.Add(tensors.ReadInitializer(body[fields.Content], file, found.Start + fields.Content.GetOffsetAndLength(body.Length).Offset));
            }
            else
            {
                rest.AddRange(body[fields.Whole]);
            }
        }
        messages.Add(rest.ToArray(), MessageCount.Kind.Graph);
        var graphProto = GraphProto.Parser.ParseFrom(rest.ToArray());
        var read = new ProtoToIr(path, tensors, operators).Model(model, graphProto, initializers);
        FunctionSizes.Check(read, (expected, found) => new HaloException(Reader, path, expected, found, "Export the graph without such functions."));
        OperandCounts.Check(read, (expected, found) => new HaloException(Reader, path, expected, found, "The file is damaged; export it again."));
        return read;
    }

    private static void CheckSupported(string path, ModelProto model)
    {
        if (model.IrVersion is < 3 or > Ir.Model.NewestIrVersion)
            throw new HaloException(Reader, path, $"an IR version from 3 to {Ir.Model.NewestIrVersion}", $"{model.IrVersion}",
                "Export with a version that ONNX Runtime 1.31 loads.");
        if (model.TrainingInfo.Count > 0)
            throw new HaloException(Reader, path, "a model without training_info", "one with it", "Export forward and gradient as one graph.");
        if (model.Configuration.Count > 0)
            throw new HaloException(Reader, path, "a model for one device", "multi-device configurations",
                "Export without them; sharding is a pass of its own.");
        var opset = model.OpsetImport.FirstOrDefault(o => OnnxDomain.Normalized(o.Domain).Length == 0)?.Version;
        if (opset is null or < 13 or > 24)
            throw new HaloException(Reader, path, "ONNX opset 13 to 24", opset?.ToString() ?? "none", "Export again with opset_version between them.");
    }
}
