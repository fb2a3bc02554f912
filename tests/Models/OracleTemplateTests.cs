using System.Diagnostics;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Halo.Models.Bundled;
using Halo.Models.Chat;
using Halo.Models.Tokenizers;
using Halo.Tests.Benchmarks;

namespace Halo.Tests.Models;

/// <summary>Public chat templates render as an implementation in JavaScript renders them, and mask answers; Oracles/templates.md has what came out.</summary>
public class OracleTemplateTests
{
    private const string Oracles = "HALO_ORACLES", Bos = "<|begin_of_text|>", Eos = "<|eot_id|>";

    private static readonly ChatMessage[] Talk =
    [
        new("user", "Capital of France?"), new("assistant", "Paris it is."), new("user", "And of Peru?"), new("assistant", "That would be Lima."),
    ];

    /// <summary>As models that think have them, thoughts in front.</summary>
    private static readonly ChatMessage[] Thoughtful =
        [.. Talk.Select((m, i) => i % 2 == 0 ? m : m with { Content = $"<think>\nhm, number {i}\n</think>\n\n{m.Content}" })];

    private static readonly (ChatMessage[] Messages, bool HasTools, bool Prompt)[] Cases =
    [
        (Talk[..1], false, true), (Talk, false, false), ([new("system", "Be brief."), .. Talk[..3]], false, true), (Thoughtful, false, false),
        (Thoughtful[..3], false, true),
        ([new("user", "  spaces \n\nand <b>&\"'{{ x }}\u00E9\U0001F600 \t"), new("assistant", "\n a\n"), new("user", "")], false, true),
        ([new("system", "Be brief."), .. Talk[..1]], true, true), ([.. Talk[..2], Talk[1]], false, true), ([], false, true),
    ];

    private static readonly JsonArray Tools =
    [
        new JsonObject
        {
            ["type"] = "function",
            ["function"] = new JsonObject
            {
                ["name"] = "weather",
                ["description"] = "Weather of a city.",
                ["parameters"] = new JsonObject
                {
                    ["type"] = "object",
                    ["properties"] = new JsonObject
                    {
                        ["city"] = new JsonObject { ["type"] = "string", ["description"] = "Its name" },
                        ["days"] = new JsonObject { ["type"] = "integer", ["description"] = "How many" },
                    },
                    ["required"] = new JsonArray("city"),
                },
            },
        },
    ];

    /// <summary>HALO_UPDATE_GOLDEN=1 writes the table anew.</summary>
    [WhenFolderIsGiven(Oracles)]
    public void Texts_are_the_same_and_masks_are_as_the_table_says()
    {
        var rows = new List<string>();
        using var json = JsonDocument.Parse(Run());
        foreach (var item in json.RootElement.EnumerateArray())
            rows.Add($"| {item.GetProperty("name").GetString()} | {Texts(item)} | {Masks(item, Talk)} | {Masks(item, Thoughtful)} |");
        var path = Path.Combine(RepositoryRoot.Path, "tests", "Oracles", "templates.md");
        var written = File.Exists(path) ? File.ReadAllText(path) : "";
        var table = $"{written.Split("| template")[0]}| template | texts | answers | answers with thoughts |\n|---|---|---|---|\n{string.Join('\n', rows)}\n";
        if (Environment.GetEnvironmentVariable("HALO_UPDATE_GOLDEN") == "1")
            File.WriteAllText(path, table);
        else
            Assert.Equal(written, table);
    }

    /// <summary>"same" where every text is, and every refusal; else where they part.</summary>
    private static string Texts(JsonElement item)
    {
        var variables = new Dictionary<string, string> { ["bos_token"] = Bos, ["eos_token"] = Eos, ["pad_token"] = Eos };
        var others = new List<string>();
        foreach (var ((messages, hasTools, prompt), expected) in Cases.Zip(item.GetProperty("results").EnumerateArray()))
        {
            var text = expected.TryGetProperty("text", out var given) ? given.GetString() : null;
            string? found = null, reason = null;
            try
            {
                var tools = hasTools ? ChatTools.Of(JsonDocument.Parse(Tools.ToJsonString()).RootElement) : null;
                found = new ChatTemplate(item.GetProperty("template").GetString()!, variables).Render(new ChatConversation(messages, tools), prompt);
            }
            catch (HaloException e) when (e.Found == "one that does not name them")
            {
                continue; // tools that would be lost are refused here, and passed over in JavaScript
            }
            catch (HaloException e)
            {
                reason = e.Found;
            }
            if (found != text)
                others.Add(Parting(text ?? $"refused: {expected.GetProperty("error")}", found ?? $"refused: {reason}"));
        }
        return others.Count == 0 ? "same" : string.Join("; ", others);
    }

    private static string Parting(string expected, string found)
    {
        var same = expected.AsSpan().CommonPrefixLength(found);
        return $"'{Piece(expected)}' there, '{Piece(found)}' here";

        string Piece(string text) => text.Substring(same, Math.Min(50, text.Length - same)).ReplaceLineEndings("\\n").Replace('|', '/');
    }

    /// <summary>By what answers are found, and that they are all that is learned; or why they are not.</summary>
    private static string Masks(JsonElement item, ChatMessage[] messages)
    {
        try
        {
            var chat = Chat(item);
            var rows = chat.EncodeRows(new ChatConversation(messages));
            var learned = rows.Select(row => chat.Tokenizer.Decode([.. row.Ids.Where((_, i) => row.LossMask[i] != 0)], false)).ToList();
            Assert.All(messages.Where(m => m.Role == "assistant").Zip(rows.Count == 1 ? [learned[0], learned[0]] : learned),
                pair => Assert.Contains(pair.First.Content.Split('\n')[^1], pair.Second, StringComparison.Ordinal));
            Assert.All(learned, text => Assert.DoesNotContain("?", text, StringComparison.Ordinal));
            return chat.Notes.Any(n => n.Contains("generation blocks", StringComparison.Ordinal)) ? "generation blocks"
                : rows.Count > 1 ? "a row an answer"
                : chat.Notes.Any(n => n.Contains("the generation prompt ends in", StringComparison.Ordinal)) ? "beginnings, less of the prompt" : "beginnings";
        }
        catch (HaloException e)
        {
            return $"refused: {e.Found.ReplaceLineEndings(" ").Replace('|', '/')}";
        }
    }

    private static ChatTokenizer Chat(JsonElement item)
    {
        using var folder = new TemporaryFolder();
        File.Copy(Path.Combine(LlamaTiny.Folder, "tokenizer.json"), folder["tokenizer.json"]);
        File.WriteAllText(folder["tokenizer_config.json"],
            new JsonObject { ["chat_template"] = item.GetProperty("template").GetString(), ["bos_token"] = Bos, ["eos_token"] = Eos }.ToJsonString());
        return new ChatTokenizer(HfTokenizer.Load(folder.Path));
    }

    private static string Run()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder["cases.json"], new JsonArray([.. Cases.Select(c => (JsonNode)new JsonObject
        {
            ["messages"] = new JsonArray([.. c.Messages.Select(m => (JsonNode)new JsonObject { ["role"] = m.Role, ["content"] = m.Content })]),
            ["tools"] = c.HasTools ? Tools.DeepClone() : null,
            ["prompt"] = c.Prompt,
            ["variables"] = new JsonObject { ["bos_token"] = Bos, ["eos_token"] = Eos, ["pad_token"] = Eos },
        })]).ToJsonString());
        var start = new ProcessStartInfo("node", ["templates.mjs", folder["cases.json"]])
        {
            WorkingDirectory = Environment.GetEnvironmentVariable(Oracles)!,
            RedirectStandardOutput = true,
            StandardOutputEncoding = Encoding.UTF8,
        };
        using var node = Process.Start(start)!;
        var output = node.StandardOutput.ReadToEnd();
        node.WaitForExit();
        Assert.Equal(0, node.ExitCode);
        return output;
    }
}
