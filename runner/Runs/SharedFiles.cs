using System.Text;
using Halo.Io;
using Halo.Ir;
using Halo.Models.Weights;
using Halo.Runner.Distributed;
using Halo.Runner.Training.Engine;

namespace Halo.Runner.Runs;

/// <summary>Safetensors files that all ranks write at once, each its own rows, as one process would have written them.</summary>
/// <remarks>Rank 0 makes the files with their headers; each rank writes its rows and brings them onto the disk; then each reads its share of tensors for their
/// digests. So the files know nothing of ranks, and whatever reads them reads them as ever.</remarks>
internal sealed class SharedFiles(World world, Rows rows, IReadOnlySet<string> saved)
{
    /// <param name="folder">Where the files go; on rank 0 alone.</param>
    /// <param name="files">By name: buffers and what stands before their tensors' names.</param>
    /// <returns>The digests of each file's tensors.</returns>
    public IReadOnlyDictionary<string, IReadOnlyDictionary<string, string>> Write(
        string? folder, IReadOnlyList<(string Name, IReadOnlyList<(ParameterBuffers Buffers, string Prefix)> Content)> files)
    {
        world.Together("checkpoint: its files", () =>
        {
            foreach (var (name, content) in world.IsFirst ? files : [])
                SafetensorsWriter.Reserve(Path.Combine(folder!, name), [.. content.SelectMany(c => In(c.Buffers).Select(p => Place(c, p)))]);
        });
        folder = world.FromFirst("checkpoint: its folder", folder ?? "");
        world.Together("checkpoint: its rows", () =>
        {
            foreach (var (name, content) in world.Writes ? files : [])
                WriteRows(Path.Combine(folder, name), content);
        });
        return files.ToDictionary(f => f.Name, f => (IReadOnlyDictionary<string, string>)Digests(Path.Combine(folder, f.Name)), StringComparer.Ordinal);
    }

    /// <summary>What of buffers a checkpoint holds: not the base of an adapter.</summary>
    private IEnumerable<(string Name, Shape Shape)> In(ParameterBuffers buffers) => buffers.Parameters.Where(p => saved.Contains(p.Name));

    private SafetensorsSource Place((ParameterBuffers Buffers, string Prefix) of, (string Name, Shape Shape) parameter) =>
        new(of.Prefix + parameter.Name, of.Buffers.Type, rows.WholeOf(parameter.Name, parameter.Shape).Sizes, _ => { });

    private void WriteRows(string path, IReadOnlyList<(ParameterBuffers Buffers, string Prefix)> content)
    {
        using var header = SafetensorsFile.Open(path);
        using var file = File.OpenHandle(path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite);
        foreach (var (buffers, prefix) in content)
        {
            foreach (var (name, shape) in In(buffers))
            {
                var tensor = header.Tensors[prefix + name];
                var (first, count) = rows.PartOf(name);
                var size = tensor.DType.Bits() / 8;
                var own = buffers.Bytes(name);
                if (rows.WholeOf(name, shape).Equals(shape))
                    own = own.AsSpan(checked((int)(first * size)), checked((int)(count * size))).ToArray();
                RandomAccess.Write(file, own, header.DataStart + tensor.Offset + (first * size));
            }
        }
        DiskSync.File(file, path);
    }

    private OrderedDictionary<string, string> Digests(string path)
    {
        var own = new StringBuilder();
        IReadOnlyList<string> tensors = [];
        var name = Path.GetFileName(path);
        world.Together($"checkpoint: {name}", () =>
        {
            using var file = SafetensorsFile.Open(path);
            tensors = [.. file.Tensors.Keys];
            foreach (var (_, tensor) in file.Tensors.Index().Where(t => t.Index % world.Rank.Count == world.Rank.Index))
                own.Append(TensorDigests.Of(tensor.Value)).Append('\n');
        });
        var said = Array.ConvertAll(world.Gather($"checkpoint: digests of {name}", Encoding.UTF8.GetBytes(own.ToString())),
            bytes => Encoding.UTF8.GetString(bytes).Split('\n'));
        return new OrderedDictionary<string, string>(tensors.Index() // the file is read no more: once all have spoken, rank 0 gives its folder a name
            .Select(t => KeyValuePair.Create(t.Item, said[t.Index % said.Length][t.Index / said.Length])));
    }
}
