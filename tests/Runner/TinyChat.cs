using System.Text.Json;
using System.Text.Json.Nodes;
using Halo.Models.Bundled;

namespace Halo.Tests.Runner;

/// <summary>A whole model folder around the smallest export, quick to train: 2 layers, 3 rows of 24 tokens, a token for each of the 256 bytes.</summary>
public static class TinyChat
{
    public const string Export = "llama2-mha";

    /// <summary>Rows of a data file: enough for three updates.</summary>
    public static string Rows { get; } = string.Concat(Enumerable.Range(0, 9).Select(i =>
        $$"""{"messages": [{"role": "user", "content": "{{i}}?"}, {"role": "assistant", "content": "{{i}}!"}]}""" + "\n"));

    public static string Graph => ExportFixture.File(Export, "training.onnx");

    /// <summary>Writes config.json, weights and tokenizer into <c>model</c>, and <c>data.jsonl</c>, and gives the options that train on them.</summary>
    public static string[] Write(TemporaryFolder folder)
    {
        File.Copy(Graph, folder["training.onnx"]);
        return ["--model", folder["training.onnx"], "--weights", Write(folder, ExportFixture.Folder(Export))];
    }

    /// <summary>The same around another model: <c>model</c> and <c>data.jsonl</c>.</summary>
    /// <returns>The model's folder.</returns>
    public static string Write(TemporaryFolder folder, string source)
    {
        var model = Directory.CreateDirectory(folder["model"]).FullName;
        foreach (var file in new[] { "config.json", "model.safetensors" })
            File.Copy(Path.Combine(source, file), Path.Combine(model, file));
        File.WriteAllText(Path.Combine(model, "tokenizer.json"), Tokenizer().ToJsonString());
        File.WriteAllText(Path.Combine(model, "tokenizer_config.json"), JsonSerializer.Serialize(new
        {
            chat_template = "{%- for m in messages %}{{- '>' + m['content'] + '\n' }}{%- endfor %}{%- if add_generation_prompt %}{{- '>' }}{%- endif %}",
        }));
        folder.File("data.jsonl", Rows);
        return model;
    }

    /// <summary>The bundled tokenizer with nothing but its bytes.</summary>
    private static JsonNode Tokenizer()
    {
        var json = JsonNode.Parse(File.ReadAllText(Path.Combine(LlamaTiny.Folder, "tokenizer.json")))!;
        var bytes = json["model"]!["vocab"]!.AsObject().Select(t => t.Key).Where(t => t.Length == 1).Order(StringComparer.Ordinal);
        json["added_tokens"] = new JsonArray();
        json["post_processor"] = null;
        json["model"]!["vocab"] = new JsonObject(bytes.Select((symbol, id) => KeyValuePair.Create(symbol, (JsonNode?)id)));
        json["model"]!["merges"] = new JsonArray();
        return json;
    }
}
