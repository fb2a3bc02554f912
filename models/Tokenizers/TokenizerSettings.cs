using System.Text;
using System.Text.Json;
using Halo.Io;
using Halo.Models.Json;

namespace Halo.Models.Tokenizers;

/// <summary>What the files beside <c>tokenizer.json</c> say: the chat template and the names of the special tokens.</summary>
internal sealed record TokenizerSettings(string? ChatTemplate, string? Bos, string? Eos, string? Pad)
{
    /// <summary>The files that settings are read from.</summary>
    internal static IReadOnlyList<string> Names { get; } = ["tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"];

    /// <remarks>As in Transformers, <c>chat_template.jinja</c> goes before the template in <c>tokenizer_config.json</c>.</remarks>
    internal static TokenizerSettings Load(string folder)
    {
        using var config = OpenIfThere(folder, "tokenizer_config.json");
        using var map = OpenIfThere(folder, "special_tokens_map.json");
        var template = Path.Combine(folder, "chat_template.jinja");
        return new TokenizerSettings(File.Exists(template) ? TextOf(template) : config is null ? null : Template(config),
            Name("bos_token"), Name("eos_token"), Name("pad_token"));

        string? Name(string field) => (config is null ? null : Special(config, field)) ?? (map is null ? null : Special(map, field));
    }

    private static string TextOf(string path)
    {
        try
        {
            return FileContent.Other(path) is var (found, advice) && !found.StartsWith("a web page", StringComparison.Ordinal)
                ? throw new HaloException("read-tokenizer", path, "a chat template", found, advice)
                : File.ReadAllText(path, new UTF8Encoding(false, throwOnInvalidBytes: true));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or DecoderFallbackException)
        {
            throw new HaloException("read-tokenizer", path, "a text in UTF-8 that can be read", e.Message.TrimEnd('.'), "Check the file and its permissions.", e);
        }
    }

    private static JsonFields? OpenIfThere(string folder, string name) =>
        File.Exists(Path.Combine(folder, name)) ? JsonFields.Open("read-tokenizer", Path.Combine(folder, name)) : null;

    private static string? Special(JsonFields json, string name) => json.Field(name) is { ValueKind: JsonValueKind.Object }
        ? json.Object(name)!.Text("content") : json.Text(name);

    private static string? Template(JsonFields config)
    {
        if (config.Field("chat_template") is not { ValueKind: JsonValueKind.Array }) return config.Text("chat_template");
        var named = config.Array("chat_template")!.Select(item => config.Child("chat_template", item)).ToList();
        var chosen = named.FirstOrDefault(t => t.Text("name") == "default") ?? throw config.Defect("chat_template", "a template named 'default'", "others");
        return chosen.Text("template");
    }
}
