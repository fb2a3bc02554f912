using System.Text.Json;

namespace Halo.Tests.Models;

/// <summary>The reference outputs for llama-tiny, from PyTorch, Transformers and tokenizers.</summary>
internal static class Fixture
{
    internal static string Path(string name) => System.IO.Path.Combine(ArchiveFixture.Folder("llama-tiny"), name);

    internal static JsonElement Json(string name) => JsonDocument.Parse(File.ReadAllBytes(Path(name))).RootElement;

    internal static int[] Ints(JsonElement list) => [.. list.EnumerateArray().Select(e => e.GetInt32())];
}
