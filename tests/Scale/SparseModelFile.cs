using Google.Protobuf;
using Halo.Ir;
using Halo.Serialization;
using Halo.Serialization.Proto;

namespace Halo.Tests.Scale;

/// <summary>Writes a model as PyTorch does, constants in <c>NAME.onnx.data</c>, but leaves zeros out as holes of a sparse file.</summary>
/// <remarks>A reader sees the same bytes; a graph with gigabytes of zeros takes no time to write and no room on the disk.</remarks>
public static class SparseModelFile
{
    /// <summary>PyTorch's exporter keeps smaller constants in the model.</summary>
    private const long InlineBytes = 1024;

    public static void Write(Model model, string path)
    {
        var proto = IrToProto.Model(model);
        proto.Graph = IrToProto.Graph(model.Graph, withInitializers: false);
        using var data = new FileStream(path + ".data", FileMode.Create, FileAccess.Write);
        foreach (var value in model.Graph.Initializers)
        {
            var tensor = value.Initializer!;
            var header = IrToProto.TensorHeader(value.Name, tensor);
            if (tensor.SizeBytes < InlineBytes)
            {
                header.RawData = ByteString.CopyFrom(tensor.ToBytes());
            }
            else
            {
                header.DataLocation = TensorProto.Types.DataLocation.External;
                header.ExternalData.Add(new StringStringEntryProto { Key = "location", Value = Path.GetFileName(data.Name) });
                header.ExternalData.Add(new StringStringEntryProto { Key = "offset", Value = $"{data.Position}" });
                header.ExternalData.Add(new StringStringEntryProto { Key = "length", Value = $"{tensor.SizeBytes}" });
                tensor.ReadChunks(chunk =>
                {
                    if (chunk.ContainsAnyExcept((byte)0))
                        data.Write(chunk);
                    else
                        data.Seek(chunk.Length, SeekOrigin.Current);
                    return true;
                });
            }
            proto.Graph.Initializer.Add(header);
        }
        data.SetLength(data.Position);
        using var file = File.Create(path);
        proto.WriteTo(file);
    }
}
