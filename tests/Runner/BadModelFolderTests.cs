using System.Buffers.Binary;
using System.Text;
using System.Text.Json.Nodes;
using Halo.Models.Bundled;
using static Halo.Tests.Runner.HaloConsole;

namespace Halo.Tests.Runner;

/// <summary>Weights, configuration, tokenizer and data that are damaged, missing, or of another model: refused, and no run is left behind.</summary>
public class BadModelFolderTests
{
    public static TheoryData<string, string> Damages => new()
    {
        { "weights: header length cut", "header length" },
        { "weights: header cut", "header of" },
        { "weights: data cut", "bytes of tensor data" },
        { "weights: bad JSON", "JSON" },
        { "weights: text", "model.safetensors" },
        { "weights: empty", "model.safetensors" },
        { "weights: missing", "model.safetensors" },
        { "weights: Git LFS pointer", "'git lfs pull'" },
        { "tokenizer: Git LFS pointer", "'git lfs pull'" },
        { "tokenizer: cut", "tokenizer.json" },
        { "tokenizer: empty", "tokenizer.json" },
        { "tokenizer: missing", "tokenizer.json" },
        { "tokenizer: larger than the model", "ids, the model's vocabulary" },
        { "template: missing", "chat_template" },
        { "template: bad", "chat-template" },
        { "config: missing", "config.json" },
        { "config: cut", "config.json" },
        { "config: another architecture", "model_type" },
        { "config: fewer positions than the graph's sequence", "max_position_embeddings" },
        { "data: missing", "data.jsonl" },
        { "data: empty", "data.jsonl" },
        { "data: bad JSON", "data.jsonl, line 2" },
        { "data: last line cut", "data.jsonl, line 9" },
        { "data: no assistant turn", "data.jsonl, line 1: expected an assistant message" },
        { "data: longer than the sequence", "among its first 24" },
    };

    [Theory]
    [MemberData(nameof(Damages))]
    public void A_damaged_input_is_refused_before_training(string damage, string part)
    {
        using var folder = new TemporaryFolder();
        string[] train = ["train", .. TinyChat.Write(folder), "--data", folder["data.jsonl"], "-o", folder["run"]];
        Damage(folder, damage);
        var message = Refused(folder, part, train);
        Assert.DoesNotContain(folder["run"], message, StringComparison.Ordinal); // names the user's file, not a copy that is gone
        Directory.CreateDirectory(folder["run"]);
        Refused(folder, part, train);
        if (!damage.StartsWith("weights", StringComparison.Ordinal)) // a dry run does not read the weights
            Refused(folder, part, [.. train, "--dry-run"]);
        if (damage.Split(':')[0] is not ("data" or "template")) // rows of text need no template
            Refused(folder, part, [.. train[1..5].Prepend("prepare"), "-o", folder["artifact"]]);
        Refused(folder, part, [.. train[1..7].Prepend("eval")]);
    }

    private static void Damage(TemporaryFolder folder, string damage)
    {
        var name = damage.Split(':')[0] switch
        {
            "weights" => "model/model.safetensors",
            "tokenizer" => "model/tokenizer.json",
            "template" => "model/tokenizer_config.json",
            "config" => "model/config.json",
            _ => "data.jsonl",
        };
        var bytes = File.ReadAllBytes(folder[name]);
        var text = name.EndsWith(".safetensors", StringComparison.Ordinal) ? "" : Encoding.UTF8.GetString(bytes);
        byte[]? damaged = damage[(damage.IndexOf(':', StringComparison.Ordinal) + 2)..] switch
        {
            "missing" when name.EndsWith("tokenizer_config.json", StringComparison.Ordinal) => "{}"u8.ToArray(),
            "missing" => null,
            "empty" => [],
            "Git LFS pointer" => "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"u8.ToArray(),
            "text" => "This is a text.\n"u8.ToArray(),
            "header length cut" => bytes[..5],
            "header cut" => bytes[..100],
            "data cut" => bytes[..^100],
            "bad JSON" when text == "" => WithBrokenHeader(bytes),
            "bad JSON" => Encoding.UTF8.GetBytes(text.Insert(text.IndexOf('\n', StringComparison.Ordinal) + 1, "{\"messages\": [}\n")),
            "last line cut" => bytes[..^20],
            "cut" => bytes[..(bytes.Length / 2)],
            "bad" => Encoding.UTF8.GetBytes(text.Replace("endfor", "endwhile", StringComparison.Ordinal)),
            "larger than the model" => File.ReadAllBytes(Path.Combine(LlamaTiny.Folder, "tokenizer.json")),
            "another architecture" => With(text, "model_type", "mixtral"),
            "fewer positions than the graph's sequence" => With(text, "max_position_embeddings", 16),
            "no assistant turn" => """{"messages": [{"role": "user", "content": "Hi"}]}"""u8.ToArray(),
            "longer than the sequence" => Encoding.UTF8.GetBytes(
                $$"""{"messages": [{"role": "user", "content": "{{new string('x', 40)}}"}, {"role": "assistant", "content": "y"}]}"""),
            var other => throw new ArgumentException(other),
        };
        if (damaged is null)
            File.Delete(folder[name]);
        else
            File.WriteAllBytes(folder[name], damaged);
    }

    private static byte[] WithBrokenHeader(byte[] bytes)
    {
        var end = 8 + (int)BinaryPrimitives.ReadInt64LittleEndian(bytes);
        bytes.AsSpan(..end).Replace((byte)':', (byte)';');
        return bytes;
    }

    private static byte[] With(string json, string key, JsonNode value)
    {
        var changed = JsonNode.Parse(json)!;
        changed[key] = value;
        return Encoding.UTF8.GetBytes(changed.ToJsonString());
    }
}
