using System.IO.Compression;
using System.Text;
using System.Text.Json;
using Halo.Models.Bundled;
using Halo.Models.Tokenizers;
using Halo.Runner.Data;
using Halo.Runner.Data.Forms;
using Parquet.Schema;
using Parquet.Serialization;
using ZstdSharp;

namespace Halo.Tests.Runner.Data;

/// <summary>Every form of rows, in every kind of file, gives the tokens and the mask of its messages.</summary>
public sealed class RowFormTests : IDisposable
{
    private static readonly HfTokenizer Tokenizer = HfTokenizer.Load(LlamaTiny.Folder);
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("""{"conversations": [{"from": "system", "value": "s"}, {"from": "human", "value": "q\u00e9"}, {"from": "gpt", "value": "a"}], "id": "x7"}""", "sharegpt")]
    [InlineData("""{"system": "s", "conversations": [{"from": "user", "value": "q\u00e9"}, {"from": "assistant", "value": "a", "weight": null}]}""", "sharegpt")]
    [InlineData("""{"instruction": "q\u00e9", "input": "", "output": "a", "system": "s", "text": "Below is an instruction"}""", "alpaca")]
    [InlineData("""{"prompt": [{"role": "system", "content": "s"}, {"role": "user", "content": "q\u00e9"}], "completion": [{"role": "assistant", "content": "a"}]}""", "completion")]
    public void A_form_gives_the_tokens_of_its_messages(string row, string form)
    {
        var expected = Messages("""[{"role": "system", "content": "s"}, {"role": "user", "content": "qé"}, {"role": "assistant", "content": "a"}]""");
        var data = Load("rows.jsonl", row);
        Assert.Contains($"form {form} (", data.Summary);
        Equal(expected, data);
        Equal(expected, Load("rows.json", $"[\n{row}\n]"));
    }

    [Theory]
    [InlineData("""{"instruction": "do it", "input": "to this", "output": "a"}""", "do it\\nto this")]
    [InlineData("""{"prompt": "do it", "completion": "a"}""", "do it")]
    public void Two_texts_are_a_question_and_its_answer(string row, string question)
        => Equal(Messages($$"""[{"role": "user", "content": "{{question}}"}, {"role": "assistant", "content": "a"}]"""), Load("rows.jsonl", row));

    [Fact]
    public void Answers_within_a_prompt_are_not_learned()
    {
        var whole = Messages("""[{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}, {"role": "user", "content": "r"}, {"role": "assistant", "content": "b"}]""");
        var data = Load("rows.jsonl", """
            {"prompt": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}, {"role": "user", "content": "r"}], "completion": [{"role": "assistant", "content": "b"}]}
            """);
        Assert.Equal(whole.Rows[0].Ids, data.Rows[0].Ids);
        Assert.Equal("b<|eot_id|>", Learned(data.Rows[0]));
        Assert.Equal("a<|eot_id|>b<|eot_id|>", Learned(whole.Rows[0]));
    }

    [Fact]
    public void Learn_all_learns_prompts_too()
    {
        var path = _folder.File("rows.jsonl", """{"prompt": "q", "completion": "a"}""");
        var row = ChatDataset.Load(path, Tokenizer, new RowSettings(Learn: LearnedTokens.All), 64).Rows[0];
        Assert.Equal(row.Ids.Length - 1, row.CountedTokens);
    }

    [Fact]
    public void Text_is_learned_as_it_stands_and_goes_on_in_the_next_row()
    {
        var text = "a text of some words that no template has seen";
        int[] ids = [.. Tokenizer.Encode(text, addSpecialTokens: true), Tokenizer.EosId!.Value];
        foreach (var path in new[] { _folder.File("rows.jsonl", JsonSerializer.Serialize(new { text })), _folder.File("rows.txt", text) })
        {
            Assert.Equal(ids, ChatDataset.Load(path, Tokenizer, new RowSettings(), 4096).Rows.Single().Ids);
            var cut = ChatDataset.Load(path, Tokenizer, new RowSettings(), 5);
            Assert.Equal(ids, cut.Rows.SelectMany((r, i) => i == 0 ? r.Ids : r.Ids[1..]));
            Assert.Equal((ids.Length - 1, 0, 0), (cut.CountedTokens, cut.Truncated, cut.Dropped));
        }
    }

    [Fact]
    public void A_long_text_is_read_in_parts_that_give_the_tokens_of_the_whole()
    {
        var text = string.Concat(Enumerable.Range(0, 60_000).Select(i => $"line {i} of many,  with words\n\n{(i % 7 == 0 ? "  and space" : "")}\n")) + "the end";
        var parts = DataFileReader.Read(_folder.File("long.txt", text)).ToList();
        Assert.True(parts.Count > 1);
        Assert.Equal(text, string.Concat(parts.Select(p => p.Text!.Content)));
        Assert.All(parts.Skip(1), p => Assert.False(char.IsWhiteSpace(p.Text!.Content[0])));
        var at = parts[0].Text!.Content.Length;
        var around = text[(at - 2000)..(at + 2000)];
        Assert.Equal((int[])Tokenizer.Encode(around, false), (int[])[.. Tokenizer.Encode(around[..2000], false), .. Tokenizer.Encode(around[2000..], false)]);
    }

    [Fact]
    public void Archives_give_the_rows_that_are_in_them()
    {
        var rows = Encoding.UTF8.GetBytes(Halo.Tests.Runner.TinyChat.Rows);
        var plain = ChatDataset.Load(_folder.File("rows.jsonl", rows), Tokenizer, new RowSettings(), 64);
        Equal(plain, ChatDataset.Load(_folder.File("rows.jsonl.gz", Gzip(rows)), Tokenizer, new RowSettings(), 64));
        Equal(plain, ChatDataset.Load(_folder.File("rows.gz", (byte[])[.. Gzip(rows[..200]), .. Gzip(rows[200..])]), Tokenizer, new RowSettings(), 64));
        Equal(plain, ChatDataset.Load(_folder.File("rows.jsonl.zst", Zstd(rows)), Tokenizer, new RowSettings(), 64));
        var array = Encoding.UTF8.GetBytes($"[{Halo.Tests.Runner.TinyChat.Rows.TrimEnd().Replace("\n", ",\n")}]");
        var parquet = File.ReadAllBytes(Path.Combine(AppContext.BaseDirectory, "Fixtures", "data", "messages.parquet"));
        foreach (var (expected, name, bytes) in new[] { (plain, "rows.json", array), (ChatDataset.Load(_folder.File("a.parquet", parquet), Tokenizer, new RowSettings(), 64), "b.parquet", parquet) })
        {
            Equal(expected, ChatDataset.Load(_folder.File($"{name}.gz", Gzip(bytes)), Tokenizer, new RowSettings(), 64));
            Equal(expected, ChatDataset.Load(_folder.File($"{name}.zst", Zstd(bytes)), Tokenizer, new RowSettings(), 64));
        }
    }

    [Fact]
    public void Damaged_archives_are_refused()
    {
        var rows = Encoding.UTF8.GetBytes(string.Concat(Enumerable.Range(0, 300).Select(i => $$"""{"prompt": "{{i * 7919}}", "completion": "{{i * i}}"}""" + "\n")));
        foreach (var (name, whole) in new[] { ("a.gz", Gzip(rows)), ("a.zst", Zstd(rows)) })
        {
            byte[] flipped = [.. whole];
            flipped[whole.Length / 2] ^= 0x10;
            foreach (var damaged in new[] { whole[..^1], whole[..(whole.Length / 2)], flipped })
            {
                var e = Assert.Throws<HaloException>(() => DataFileReader.Read(_folder.File(name, damaged)).Count());
                Assert.StartsWith(_folder[name], e.Subject);
            }
        }
    }

    [Fact]
    public void Archives_that_grow_beyond_measure_are_refused()
    {
        var row = Encoding.UTF8.GetBytes($$"""{"prompt": "{{new string('x', 1 << 20)}}", "completion": "a"}""" + "\n");
        var rows = Enumerable.Repeat(row, 100).SelectMany(r => r).ToArray();
        foreach (var (name, bytes) in new[] { ("bomb.zst", Zstd(rows)), ("bomb.gz", Gzip(rows)) })
            Assert.Contains("grows", Assert.Throws<HaloException>(() => DataFileReader.Read(_folder.File(name, bytes)).Count()).Message);
    }

    [Fact]
    public async Task Parquet_gives_the_tokens_of_its_messages()
    {
        var schema = new ParquetSchema(new DataField<int?>("id"), new ListField("messages", new StructField("element",
            new DataField<string>("role"), new DataField<string>("content"), new DataField<string>("name"))));
        var rows = Enumerable.Range(0, 5).Select(i => (IDictionary<string, object?>)new Dictionary<string, object?>
        {
            ["id"] = i,
            ["messages"] = new List<Dictionary<string, object?>>
            {
                new() { ["role"] = "user", ["content"] = $"q{i}é", ["name"] = null }, new() { ["role"] = "assistant", ["content"] = $"a{i}", ["name"] = null },
            },
        }).ToList();
        using var stream = new MemoryStream();
        await ParquetSerializer.SerializeUntypedAsync(rows, schema, stream, new Parquet.ParquetOptions { RowGroupSize = 2 });
        var data = ChatDataset.Load(_folder.File("rows.parquet", stream.ToArray()), Tokenizer, new RowSettings(), 64);
        var lines = Enumerable.Range(0, 5).Select(i => $$"""{"messages": [{"role": "user", "content": "q{{i}}é"}, {"role": "assistant", "content": "a{{i}}"}]}""");
        Equal(Load("rows.jsonl", string.Join('\n', lines)), data);
        Assert.Contains("fields that nothing reads: id", Assert.Single(data.Notes));
    }

    [Theory]
    [InlineData("[{}]", "the fields of a form")]
    [InlineData("""[{"text": "a"}, 3]""", "line 1: expected a JSON object, found a number")]
    [InlineData("[{\"text\": \"a\"},\n{\"text\": 3}]", "line 2: expected 'text' as a string, found a number")]
    [InlineData("""[{"text": "a"}, ]""", "line 1")]
    [InlineData("""[{"text": "a"} {"text": "a"}]""", "expected ',' of one array of objects, found '{'")]
    [InlineData("""[{"text": "a"}""", "the end of the file")]
    [InlineData("""[{"text": "a"}, {"text": "b""", "the end of the file")]
    [InlineData("""[{"text": "a"}] x""", "nothing behind the array")]
    [InlineData("[]", "an empty file")]
    [InlineData("""[{"text": "a"}}]""", "one array of objects")]
    [InlineData("""{"conversations": [{"from": "alien", "value": "x"}]}""", "conversations[0].from as one of human")]
    [InlineData("""{"conversations": [{"role": "user", "content": "x"}]}""", "Rename 'conversations' to 'messages'")]
    [InlineData("""{"conversations": [{"from": "human", "value": "x"}]}""", "an assistant message to learn from")]
    [InlineData("""{"instruction": "a", "output": "b", "history": [["c", "d"]]}""", "found 'history'")]
    [InlineData("""{"instruction": "a", "output": 3}""", "'output' as a string, found a number")]
    [InlineData("""{"prompt": "a", "completion": ["b"]}""", "'completion' as a string, found an array")]
    [InlineData("""{"prompt": "a", "completion": "b", "label": true}""", "found 'label'")]
    [InlineData("""{"prompt": "a", "completion": "b", "tools": "[}"}""", "a text that is no JSON")]
    public void Names_what_is_wrong_with_a_row(string text, string message)
    {
        var path = _folder.File("rows.json", text);
        var e = Assert.Throws<HaloException>(() => DataFileReader.Read(path).Count());
        Assert.Contains(message, e.Message);
        Assert.StartsWith(path, e.Subject);
    }

    [Fact]
    public void A_form_that_is_named_is_required()
    {
        var path = _folder.File("rows.jsonl", """{"instruction": "a", "output": "b", "text": "c"}""");
        Assert.Equal("c", DataFileReader.Read(path, DataFormat.Text).Single().Text!.Content);
        Assert.Contains("a field 'messages'", Assert.Throws<HaloException>(() => DataFileReader.Read(path, DataFormat.Messages).Count()).Message);
    }

    private static byte[] Gzip(byte[] bytes)
    {
        using var stream = new MemoryStream();
        using (var gzip = new GZipStream(stream, CompressionLevel.Optimal))
            gzip.Write(bytes);
        return stream.ToArray();
    }

    private static byte[] Zstd(byte[] bytes)
    {
        using var compressor = new Compressor(3);
        compressor.SetParameter(ZstdSharp.Unsafe.ZSTD_cParameter.ZSTD_c_checksumFlag, 1);
        return compressor.Wrap(bytes).ToArray();
    }

    private static string Learned(TokenizedRow row) => Tokenizer.Decode([.. row.Ids.Where((_, i) => row.LossMask[i] != 0)], skipSpecialTokens: false);

    private ChatDataset Messages(string messages) => Load("messages.jsonl", $$"""{"messages": {{messages}}}""");

    private ChatDataset Load(string name, string text) => ChatDataset.Load(_folder.File(name, text), Tokenizer, new RowSettings(), 64);

    private static void Equal(ChatDataset expected, ChatDataset found)
    {
        Assert.Equal(expected.Rows.Select(r => r.Ids), found.Rows.Select(r => r.Ids));
        Assert.Equal(expected.Rows.Select(r => r.LossMask), found.Rows.Select(r => r.LossMask));
    }
}
