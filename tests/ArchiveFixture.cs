using System.Collections.Concurrent;
using System.Formats.Tar;
using System.IO.Compression;
using Halo.Ir;
using Halo.Models.Weights;
using Halo.Tests.Packing;

namespace Halo.Tests;

/// <summary>The archives under Fixtures, unpacked once a test run into a temporary folder; see Fixtures/README.md.</summary>
internal static class ArchiveFixture
{
    private static readonly Lazy<string> Root = new(() =>
    {
        var root = Directory.CreateTempSubdirectory("halo-fixtures-").FullName;
        AppDomain.CurrentDomain.ProcessExit += (_, _) => Directory.Delete(root, recursive: true);
        return root;
    });

    private static readonly ConcurrentDictionary<string, Lazy<string>> Folders = new();

    /// <summary>The folder with the files of <c>Fixtures/NAME.packed</c> or <c>Fixtures/NAME.tar.br</c>.</summary>
    public static string Folder(string name) => Folders.GetOrAdd(name, n => new Lazy<string>(() => Unpack(n))).Value;

    private static string Unpack(string name)
    {
        var folder = Directory.CreateDirectory(Path.Combine(Root.Value, name)).FullName;
        var packed = Path.Combine(AppContext.BaseDirectory, "Fixtures", $"{name}.packed");
        if (System.IO.File.Exists(packed))
        {
            PackedFolder.Unpack(packed, folder);
            return folder;
        }
        using var archive = System.IO.File.OpenRead(Path.Combine(AppContext.BaseDirectory, "Fixtures", $"{name}.tar.br"));
        using var tar = new BrotliStream(archive, CompressionMode.Decompress);
        TarFile.ExtractToDirectory(tar, folder, overwriteFiles: true);
        return folder;
    }
}

/// <summary>Small models of other families than LLaMA, or with settings that the exports lack; see Fixtures/README.md.</summary>
public static class FamilyFixture
{
    public static readonly string[] Names =
    [
        "llama-dynamic", "llama-yarn", "mistral-window", "olmo2-postnorm", "phi3-fused", "phi3-longrope", "phi3-partial", "qwen2-bias-gqa", "qwen3-qknorm",
        "qwen3-window", "smollm3-nope",
    ];

    public static string Folder(string name) => ArchiveFixture.Folder($"families/{name}");

    public static string File(string name, string file) => Path.Combine(Folder(name), file);

    /// <summary>The files of a model's graphs.</summary>
    public static IEnumerable<string> Exports(string name) => Directory.GetFiles(Folder(name), "*.onnx").Select(f => Path.GetFileName(f)).Order();

    /// <summary>A copy of a checkpoint in memory.</summary>
    internal static Dictionary<string, Halo.Ir.Tensor> Checkpoint(string name)
    {
        using var reader = Halo.Models.Weights.CheckpointReader.Open(Folder(name));
        return reader.Tensors.ToDictionary(t => t.Key, t => Halo.Ir.Tensor.Of<byte>(t.Value.DType, [.. t.Value.Shape], t.Value.Bytes()));
    }
}

/// <summary>The real PyTorch exports: checkpoint, graphs and PyTorch's expected values of small LLaMAs.</summary>
public static class ExportFixture
{
    public static readonly string[] Names = ["llama2-mha", "llama32-tied", "llama3-gqa"];

    public static TheoryData<string> All => [.. Names];

    public static string Folder(string name) => ArchiveFixture.Folder($"exports/{name}");

    public static string File(string name, string file) => Path.Combine(Folder(name), file);

    /// <summary>The checkpoint and PyTorch's batch, for a graph of them.</summary>
    internal static Dictionary<string, Tensor> Inputs(string name, Model model)
    {
        using var expected = CheckpointReader.Open(File(name, "expected.safetensors"));
        using var weights = CheckpointReader.Open(File(name, "model.safetensors"));
        return model.Graph.Inputs.ToDictionary(i => i.Name, i =>
        {
            var tensor = (i.Type.IsFloat() ? weights : expected)[i.Name];
            return new Tensor(tensor.DType, tensor.Shape, new MemoryBytes(tensor.Bytes().ToArray()));
        });
    }
}
