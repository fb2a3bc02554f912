using Halo.Runner.Data;

namespace Halo.Tests.Runner.Data;

public sealed class DataFileReaderTests : IDisposable
{
    private const string Good = """{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}""";
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Reads_rows_with_their_lines()
    {
        var path = _folder.File("a.jsonl",
            "\uFEFF" + Good + "\r\n\n" + """{"id": 3, "messages": [{"role": "assistant", "content": "\ud83d\ude80", "name": null}]}""");
        var rows = DataFileReader.Read(path).ToList();
        Assert.Equal([1L, 3L], rows.Select(r => r.Place.Number));
        Assert.Equal(["user", "assistant"], rows[0].Chat!.Messages.Select(m => m.Role));
        Assert.Equal("\U0001F680", rows[1].Chat!.Messages[0].Content);
    }

    [Fact]
    public void Reads_lines_longer_than_its_buffer()
    {
        var text = new string('x', 200_000);
        var path = _folder.File("a.jsonl", string.Concat(Enumerable.Repeat(Good.Replace("\"b\"", $"\"{text}\"") + "\n", 3)));
        Assert.All(DataFileReader.Read(path), r => Assert.Equal(text, r.Chat!.Messages[1].Content));
    }

    [Theory]
    [InlineData("""{"messages": [{"role": "us""", "one whole JSON object")]
    [InlineData("not json", "one whole JSON object")]
    [InlineData("""{"messages": [], "messages": []}""", "one whole JSON object")]
    [InlineData("[]", "a JSON object, found an array")]
    [InlineData("""{"text": "a"}""", "a field 'messages', found only 'text'")]
    [InlineData("""{"messages": [{"role": "assistant", "content": "a"}], "prompt": "b"}""", "found 'prompt'")]
    [InlineData("""{"messages": "a"}""", "'messages' as an array, found a string")]
    [InlineData("""{"messages": []}""", "an assistant message")]
    [InlineData("""{"messages": [{"role": "user", "content": "a"}]}""", "an assistant message")]
    [InlineData("""{"messages": [3]}""", "messages[0] as an object, found a number")]
    [InlineData("""{"messages": [{"role": "assistant"}]}""", "a field 'content' in messages[0], found only 'role'")]
    [InlineData("""{"messages": [{"role": 3, "content": "a"}]}""", "messages[0].role as a string, found a number")]
    [InlineData("""{"messages": [{"role": "assistant", "content": null}]}""", "messages[0].content as a string, found null")]
    [InlineData("""{"messages": [{"role": "asistant", "content": "a"}]}""", "found 'asistant'")]
    [InlineData("""{"messages": [{"role": "assistant", "content": "a", "weight": 0}]}""", "found 'weight'")]
    [InlineData("""{"messages": [{"role": "assistant", "content": "\ud83d"}]}""", "half of a surrogate pair")]
    [InlineData("""{"messages": [{"role": "assistant", "content": "a"}], "chat_template_kwargs": {"x": 1}}""", "found 'chat_template_kwargs'")]
    [InlineData("""{"messages": [{"role": "assistant", "content": "a"}], "system": "b"}""", "found 'system'")]
    [InlineData("""{"messages": [{"role": "assistant", "content": "a"}], "tools": {}}""", "'tools' as an array, found an object")]
    [InlineData("""{"messages": [{"role": "assistant", "content": "a"}], "tools": ["\ud83d"]}""", "half of a surrogate pair")]
    [InlineData("""{"messages": [], "messages": []}""", "a second 'messages' at line 1, byte 18")]
    public void Names_file_and_line_of_a_defect(string line, string message)
    {
        var path = _folder.File("bad.jsonl", Good + "\n" + line + "\n");
        var e = Assert.Throws<HaloException>(() => DataFileReader.Read(path).ToList());
        Assert.Equal($"{path}, line 2", e.Subject);
        Assert.Contains(message, e.Message);
    }

    [Fact]
    public void Refuses_bytes_that_are_not_utf8()
    {
        var path = _folder.File("bad.jsonl", [.. "{\"messages\": \""u8, 0xC3, 0x28, .. "\"}"u8]);
        Assert.Contains("line 1: expected UTF-8", Assert.Throws<HaloException>(() => DataFileReader.Read(path).ToList()).Message);
    }

    [Theory]
    [InlineData("")]
    [InlineData("\n \n")]
    public void Refuses_an_empty_file(string text)
        => Assert.Contains("an empty file", Assert.Throws<HaloException>(() => DataFileReader.Read(_folder.File("e.jsonl", text)).ToList()).Message);

    [Fact]
    public void Says_what_a_file_is_that_is_no_jsonl()
    {
        foreach (var (bytes, part) in new (byte[], string)[] { ([0x1F, 0x8B, 8, 0], "a whole gzip archive"), ("PAR1...."u8.ToArray(), "a whole Parquet file"), ([0x28, 0xB5, 0x2F, 0xFD, 1], "a whole Zstandard archive"),
            ("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"u8.ToArray(), "'git lfs pull'") })
        {
            Assert.Contains(part, Assert.Throws<HaloException>(() => DataFileReader.Read(_folder.File("x.jsonl", bytes)).ToList()).Message);
        }
        Assert.Contains("found a folder", Assert.Throws<HaloException>(() => DataFileReader.Read(_folder.Path).ToList()).Message);
    }

    [Fact]
    public void Refuses_a_missing_file()
        => Assert.Throws<HaloException>(() => DataFileReader.Read(_folder["none.jsonl"]).ToList());

    [Theory]
    [InlineData("train.jsonl", 1470)]
    [InlineData("valid.jsonl", 150)]
    public void Bundled_data_is_read(string name, int rows)
        => Assert.Equal(rows, DataFileReader.Read(Path.Combine(AppContext.BaseDirectory, "data", "sql", name)).Count());
}
