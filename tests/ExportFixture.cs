using System.Formats.Tar;
using System.IO.Compression;

namespace Halo.Tests;

/// <summary>The real PyTorch exports under Fixtures/exports, unpacked once a test run into a temporary folder.</summary>
/// <remarks>Each archive holds the checkpoint, the graphs and PyTorch's expected values of one small LLaMA; see Fixtures/README.md.</remarks>
public static class ExportFixture
{
    public static readonly string[] Names = ["llama2-mha", "llama32-tied", "llama3-gqa"];

    private static readonly Lazy<string> Root = new(() =>
    {
        var root = Directory.CreateTempSubdirectory("halo-exports-").FullName;
        AppDomain.CurrentDomain.ProcessExit += (_, _) => Directory.Delete(root, recursive: true);
        return root;
    });

    private static readonly Dictionary<string, Lazy<string>> Folders = Names.ToDictionary(n => n, n => new Lazy<string>(() => Unpack(n)));

    public static TheoryData<string> All => [.. Names];

    public static string Folder(string name) => Folders[name].Value;

    public static string File(string name, string file) => Path.Combine(Folder(name), file);

    private static string Unpack(string name)
    {
        var folder = Directory.CreateDirectory(Path.Combine(Root.Value, name)).FullName;
        using var archive = System.IO.File.OpenRead(Path.Combine(AppContext.BaseDirectory, "Fixtures", "exports", $"{name}.tar.br"));
        using var tar = new BrotliStream(archive, CompressionMode.Decompress);
        TarFile.ExtractToDirectory(tar, folder, overwriteFiles: true);
        return folder;
    }
}
