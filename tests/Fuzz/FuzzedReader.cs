using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Halo.Models.Bundled;
using Halo.Models.Chat;
using Halo.Models.HuggingFace;
using Halo.Models.Tokenizers;
using Halo.Models.Weights;
using Halo.Runner.Data;
using Halo.Runner.Training;
using Halo.Tests.Models;

namespace Halo.Tests.Fuzz;

/// <summary>A reader of files that come from outside: what it takes, and how it is run on a file and used a little.</summary>
/// <param name="FileName">What the file is called in its folder.</param>
/// <param name="Files">Real files, which are changed.</param>
/// <param name="Words">Of the format, separated by blanks.</param>
/// <param name="Read">Takes the folder.</param>
internal sealed record FuzzedReader(string FileName, Func<IReadOnlyList<byte[]>> Files, string Words, Action<string> Read)
{
    private static readonly ChatMessage[] Talk = [new("system", "s"), new("user", " a\n"), new("assistant", "b 12 \U0001D7CF"), new("user", "c"), new("assistant", "d")];

    private const string FormWords = """ "messages" "conversations" "from" "value" "human" "gpt" "instruction" "input" "output" "prompt" "completion" "text" "tools" \ud83d { } [ ] , : null 1e999 """;

    /// <summary>The bundled tokenizer with its bytes and a few merges.</summary>
    private static readonly Lazy<byte[]> Tokenizer = new(() =>
    {
        var json = JsonNode.Parse(Bundled("tokenizer.json"))!;
        var symbols = json["model"]!["vocab"]!.AsObject().Select(t => t.Key).Where(t => t.Length == 1).Order(StringComparer.Ordinal).Append("th");
        json["added_tokens"] = JsonNode.Parse("""[{"id":257,"content":"<|eot_id|>","special":true},{"id":258,"content":"<x>","lstrip":true,"single_word":true}]""");
        json["post_processor"] = null;
        json["model"]!["vocab"] = new JsonObject(symbols.Select((symbol, id) => KeyValuePair.Create(symbol, (JsonNode?)id)));
        json["model"]!["merges"] = JsonNode.Parse("""[["t","h"]]""");
        return Encoding.UTF8.GetBytes(json.ToJsonString());
    });

    internal static readonly IReadOnlyDictionary<string, FuzzedReader> All = new Dictionary<string, FuzzedReader>
    {
        ["tokenizer"] = new("tokenizer.json", () => [Tokenizer.Value], """ "type" "Split" "Regex" "(a+)+$" "(a*)*\\1b" \\p{N}{1,3} "Digits" "Removed" "invert" true null 2147483647 "id" [ ] { } """,
            folder => HfTokenizer.Load(folder).Encode("a 12 \U0001D7CF\u00E9 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", true)),
        ["config"] = new("config.json", () => [Bundled("config.json")],
            """ "rope_scaling" "rope_type" "llama3" "factor" "num_hidden_layers" 2147483647 1e308 null [ ] { } : , """, folder => DecoderConfig.Load(folder)),
        ["generation"] = new("generation_config.json", () => [Bundled("generation_config.json")], """ "eos_token_id" [1,2] -1 null { } """,
            folder => GenerationConfig.Find(folder)),
        ["template"] = new("template.jinja", () => [.. Templates.Kinds.Select(Encoding.UTF8.GetBytes)],
            "{% %} {{ }} {%- -%} for in if endif endfor set macro endmacro endset range(1000000) ns namespace(x=[]) messages | tojson * + ~ // % == loop.last [ ] ( ) [::-1] abs "
            + "replace('','a') 9223372036854775807 -1 'a' break not is defined and or { } : , . indent=",
            folder =>
            {
                var template = new ChatTemplate(Encoding.UTF8.GetString(File.ReadAllBytes(Path.Combine(folder, "template.jinja"))));
                template.Render(Talk, addGenerationPrompt: true);
            }),
        ["chat"] = new("tokenizer_config.json", () => [.. Templates.Kinds.Select(t => JsonSerializer.SerializeToUtf8Bytes(new { chat_template = t, bos_token = "a" }))],
            """ "chat_template" "bos_token" {% %} {{ }} loop messages \u0000 \ud800 [ ] { } null """,
            folder =>
            {
                File.WriteAllBytes(Path.Combine(folder, "tokenizer.json"), Tokenizer.Value);
                new ChatTokenizer(HfTokenizer.Load(folder)).Encode(Talk);
            }),
        ["yaml"] = new("config.yaml", () => [Encoding.UTF8.GetBytes(new TrainConfig { Model = "a", Quantize = [new QuantizeRule { Match = "*.b", Scheme = "halo-2" }] }.ToYaml())],
            "? : - & * &a *a [ ] { } , ! !! !!str | > ' \" % %YAML --- ... # @ ` <<: \n \t ? - ", folder => TrainConfig.Load(Path.Combine(folder, "config.yaml"))),
        ["jsonl"] = new("rows.jsonl", () => [.. Halo.Tests.Runner.TinyChat.Rows.Split('\n').Select(Encoding.UTF8.GetBytes), ToolRow()],
            """ "messages" "role" "content" "tools" "assistant" \ud83d { } [ ] , : null 1e999 """, folder => DataFileReader.Read(Path.Combine(folder, "rows.jsonl")).Count()),
        ["forms"] = new("rows.jsonl", () => [.. DataFormFiles.Rows.Select(Encoding.UTF8.GetBytes)], FormWords, folder => DataFileReader.Read(Path.Combine(folder, "rows.jsonl")).Count()),
        ["array"] = new("rows.json", () => [.. DataFormFiles.Rows.Select(r => Encoding.UTF8.GetBytes($"[\n{r},\n{r}]"))], FormWords + " [ ] , ",
            folder => DataFileReader.Read(Path.Combine(folder, "rows.json")).Count()),
        ["txt"] = new("rows.txt", () => ["some text\nof lines\u00E9\n"u8.ToArray()], "\n \r \uFEFF \0", folder => DataFileReader.Read(Path.Combine(folder, "rows.txt")).Count()),
        ["gz"] = new("rows.jsonl.gz", () => [.. DataFormFiles.Rows.Select(DataFormFiles.Gzip)], "\u001F \0\0\0\0", folder => DataFileReader.Read(Path.Combine(folder, "rows.jsonl.gz")).Count()),
        ["zst"] = new("rows.jsonl.zst", () => [.. DataFormFiles.Rows.Select(DataFormFiles.Zstd)], "( / \0\0\0\0", folder => DataFileReader.Read(Path.Combine(folder, "rows.jsonl.zst")).Count()),
        ["parquet"] = new("rows.parquet", () => [DataFormFiles.Parquet(Parquet.CompressionMethod.Snappy), DataFormFiles.Parquet(Parquet.CompressionMethod.Zstd)], "PAR1 \0\0\0\0 messages",
            folder => DataFileReader.Read(Path.Combine(folder, "rows.parquet")).Count()),
        ["tokens"] = new("rows.tokens", () => [DataFormFiles.Tokens()], "HLTOKENS \0\0\0\0", folder => TokenFile.Open(Path.Combine(folder, "rows.tokens"))),
        ["safetensors"] = new("model.safetensors", () => [Safetensors()],
            """ "dtype" "shape" "data_offsets" "__metadata__" "F32" "F4" "BOOL" [ ] { } , : 9223372036854775807 -1 """,
            folder =>
            {
                using var checkpoint = CheckpointReader.Open(folder);
                foreach (var tensor in checkpoint.Tensors.Values)
                    if (tensor.SizeBytes < 1 << 20) tensor.CopyTo(Stream.Null);
            }),
        ["index"] = new("model.safetensors.index.json", () => ["""{"metadata": {"total_size": 8}, "weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}"""u8.ToArray()],
            """ "weight_map" "a" "../x" "/dev/null" null [ ] { } """, folder => CheckpointReader.Open(folder).Dispose()),
    };

    /// <summary>The words as bytes.</summary>
    internal IReadOnlyList<byte[]> Dictionary => [.. Words.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(Encoding.UTF8.GetBytes), " "u8.ToArray(), "\n"u8.ToArray()];

    private static byte[] Bundled(string name) => File.ReadAllBytes(Path.Combine(LlamaTiny.Folder, name));

    private static byte[] ToolRow() => """{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "tools": [{"name": "f", "x": [1, 2.5]}]}"""u8.ToArray();

    private static byte[] Safetensors()
    {
        using var folder = new TemporaryFolder();
        SafetensorsWriter.Write(folder["a"], [SafetensorsSource.From("a", Halo.Ir.ElementType.Float, [2, 1], new float[] { 1, 2 }),
            SafetensorsSource.From("b", Halo.Ir.ElementType.BFloat16, [3], new float[] { 1, 2, 3 })], new Dictionary<string, string> { ["format"] = "pt" });
        return File.ReadAllBytes(folder["a"]);
    }
}
