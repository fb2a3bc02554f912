using System.Diagnostics;
using System.Text;
using System.Text.Json;
using Halo.Models.Tokenizers;
using Halo.Tests.Benchmarks;

namespace Halo.Tests.Models;

/// <summary>Tokenizers of real models give the ids and the text that implementations in JavaScript give; see Oracles/README.md.</summary>
public class OracleTokenizerTests
{
    private const string Oracles = "HALO_ORACLES";

    /// <summary>Ranges that every Unicode since 12 has assigned; JavaScript counts U+FEFF as a space and U+0085 as none, so neither is here.</summary>
    private static readonly (int First, int Last)[] Ranges =
    [
        (0x20, 0x7E), (0x20, 0x7E), (0x09, 0x0D), (0x00, 0x1F), (0xA1, 0x17F), (0x300, 0x30F), (0x391, 0x3A1), (0x410, 0x44F), (0x5D0, 0x5EA), (0x621, 0x64A),
        (0x660, 0x669), (0x905, 0x939), (0x93E, 0x94C), (0x1100, 0x1112), (0x1161, 0x1175), (0x11A8, 0x11C2), (0x1E00, 0x1EFF), (0x2010, 0x2027),
        (0x3041, 0x3096), (0x3099, 0x309A), (0x4E00, 0x9FA5), (0xAC00, 0xD7A3), (0xF900, 0xF9FF), (0xFF10, 0xFF5A), (0x1D400, 0x1D454),
        (0x1D7CE, 0x1D7FF), (0x1F600, 0x1F64F), (0x20000, 0x20100), (0x2581, 0x2581), (0x20, 0x20),
    ];

    private static readonly string[] Marks =
    [
        "<s>", "</s>", "<|im_start|>", "<|endoftext|>", "<|eot_id|>", "<0x0A>",
        "'s", "'LL", "\r\n", "  ", "\n\n\n", "12345", "e\u0301", "\u212B",
    ];

    [WhenFolderIsGiven(Oracles)]
    public void Llama_2() => Agree("llama2", 10_000);

    [WhenFolderIsGiven(Oracles)]
    public void Llama_3_1() => Agree("llama3_1", 10_000);

    [WhenFolderIsGiven(Oracles)]
    public void Qwen_3() => Agree("qwen3", 10_000);

    /// <summary>The oracle knows no special tokens in text, so there are none in these.</summary>
    [WhenFolderIsGiven(Oracles)]
    public void Mistral() => Agree("mistral", 10_000,
        text => !text.Contains("s>", StringComparison.Ordinal) && !text.Contains("<0x", StringComparison.Ordinal) && text.Length > 0);

    /// <summary>The vocabulary of <see cref="Llama_2"/>, its spaces marked by Metaspace as newer files of Mistral and Phi-3 have it.</summary>
    [WhenFolderIsGiven(Oracles)]
    public void Metaspace() => Agree("metaspace", 2_000);

    private static void Agree(string model, int count, Func<string, bool>? fits = null)
    {
        using var folder = new TemporaryFolder();
        var random = new Random(5);
        string[] texts = [.. Plain().Concat(Enumerable.Range(0, count).Select(_ => Text(random))).Where(t => fits?.Invoke(t) ?? true)];
        File.WriteAllText(folder["texts.json"], JsonSerializer.Serialize(texts));
        using var expected = JsonDocument.Parse(Run(model, folder));
        var tokenizer = HfTokenizer.Load(folder.Path);
        Assert.Equal(texts.Length, expected.RootElement.GetArrayLength());
        foreach (var (text, item) in texts.Zip(expected.RootElement.EnumerateArray()))
        {
            var ids = tokenizer.Encode(text, addSpecialTokens: true);
            Assert.True(item.GetProperty("ids").EnumerateArray().Select(i => i.GetInt32()).SequenceEqual(ids),
                $"{JsonSerializer.Serialize(text)}: {item.GetProperty("ids")} and not {string.Join(',', ids)}");
            Assert.Equal(item.GetProperty("decoded").GetString(), tokenizer.Decode(ids, skipSpecialTokens: true));
            var stream = new TokenStream(tokenizer, skipSpecialTokens: true);
            Assert.Equal(item.GetProperty("decoded").GetString(), string.Concat(ids.Select(stream.Add)) + stream.End());
        }
    }

    private static string[] Plain() =>
    [
        "Hello, world!", " leading and trailing ", "for (int i = 0; i < 10; i++)\n{\n\treturn x[i] + 1;\n}", "SELECT name FROM table_1 WHERE id = 42;",
        "Gr\u00FC\u00DFe aus K\u00F6ln, na\u00EFve caf\u00E9", "\u4F60\u597D\uFF0C\u4E16\u754C", "\uC548\uB155\uD558\uC138\uC694",
        "\u041F\u0440\u0438\u0432\u0435\u0442",
        "\U0001F468\u200D\U0001F469\u200D\U0001F467 family", "1234567890 12 345", "\U0001D7D8\U0001D7D9\U0001D7DA\U0001D7DB",
        "a\tb\r\nc\n\n\nd", "\u2581already marked", "don't DON'T we'll",
    ];

    /// <summary>Runs of characters of one range, with marks and spaces between.</summary>
    private static string Text(Random random)
    {
        var text = new StringBuilder();
        for (var parts = random.Next(1, 6); parts > 0; parts--)
        {
            if (random.Next(4) == 0) { text.Append(Marks[random.Next(Marks.Length)]); continue; }
            if (random.Next(2) == 0) text.Append(' ');
            var (first, last) = Ranges[random.Next(Ranges.Length)];
            for (var length = random.Next(1, 9); length > 0; length--) text.Append(char.ConvertFromUtf32(random.Next(first, last + 1)));
        }
        return text.ToString();
    }

    private static string Run(string model, TemporaryFolder folder)
    {
        var start = new ProcessStartInfo("node", ["tokenize.mjs", model, folder["texts.json"], folder.Path])
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
