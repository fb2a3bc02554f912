using System.Text.Json;

namespace Halo.Tests.Models;

/// <summary>The reference outputs for llama-tiny, from PyTorch, Transformers and tokenizers.</summary>
internal static class Fixture
{
    internal static string Path(string name) => System.IO.Path.Combine(AppContext.BaseDirectory, "Fixtures", "llama-tiny", name);

    internal static JsonElement Json(string name) => JsonDocument.Parse(File.ReadAllBytes(Path(name))).RootElement;

    internal static int[] Ints(JsonElement list) => [.. list.EnumerateArray().Select(e => e.GetInt32())];
}

/// <summary>A folder that is gone after the test.</summary>
internal sealed class TemporaryFolder : IDisposable
{
    internal string Path { get; } = Directory.CreateTempSubdirectory("halo-test-").FullName;

    internal string this[string name] => System.IO.Path.Combine(Path, name);

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
