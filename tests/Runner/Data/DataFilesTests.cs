using Halo.Runner.Data;

namespace Halo.Tests.Runner.Data;

public sealed class DataFilesTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Patterns_and_weights_name_files()
    {
        foreach (var name in new[] { "b.jsonl", "a.jsonl", "c.json", ".d.jsonl", "odd,name@2.jsonl" })
            _folder.File(name, "x");
        Directory.CreateDirectory(_folder["in/ner"]);
        _folder.File("in/ner/e.jsonl", "y");
        Assert.Equal(["a.jsonl", "b.jsonl", "odd,name@2.jsonl"], Names("*.jsonl"));
        Assert.Equal(["a.jsonl", "b.jsonl", "in/ner/e.jsonl", "odd,name@2.jsonl"], Names("**/*.jsonl"));
        Assert.Equal(["in/ner/e.jsonl"], Names("i?/*/*.jsonl"));
        Assert.Equal(["odd,name@2.jsonl"], Names("odd,name@2.jsonl"));
        Assert.Equal([(_folder["c.json"], 0.5), (_folder["a.jsonl"], 1.0), (_folder["b.jsonl"], 3.0)],
            DataFiles.Of($"{_folder["c.json"]}@0.5, {_folder["a.jsonl"]},{_folder["b.*"]}@3").Select(f => (f.Path, f.Weight)));
    }

    [Theory]
    [InlineData("*.txt", "a pattern that files match")]
    [InlineData("a.jsonl@many", "a weight above 0")]
    [InlineData("a.jsonl@-1", "a weight above 0")]
    [InlineData("a.jsonl,,b", "a path or a pattern between commas")]
    public void Refuses_what_names_no_file(string text, string message)
    {
        var e = Assert.Throws<HaloException>(() => DataFiles.Of(text.StartsWith('*') ? _folder[text] : text));
        Assert.Contains(message, e.Message);
    }

    [Fact]
    public void Refuses_a_file_that_is_named_twice()
        => Assert.Contains("each file once", Assert.Throws<HaloException>(() => DataFiles.Of($"{_folder.File("a", "x")},{_folder["*"]}")).Message);

    [Fact]
    public void A_weight_says_how_often_rows_stand_in_an_epoch()
    {
        var (a, b) = (Rows("a", 10), Rows("b", 10));
        var rows = ChatDataset.Load($"{a}@2.5,{b}@0.3", chat => ([1, .. chat.Messages[1].Content.Select(c => (int)c)], [0, 1, 1]), 16).Rows;
        var counts = rows.CountBy(r => (char)r.Ids[1]).ToDictionary();
        Assert.Equal((25, 3), (counts['a'], counts['b']));
        Assert.All(rows.Where(r => r.Ids[1] == 'a').CountBy(r => r.Ids[2]), c => Assert.InRange(c.Value, 2, 3));

        string Rows(string name, int count) => _folder.File(name, string.Concat(Enumerable.Range(0, count).Select(i =>
            $$"""{"prompt": "q", "completion": "{{name}}{{i}}"}""" + "\n")));
    }

    [Fact]
    public void Digests_follow_content_order_and_weight()
    {
        var (a, b) = (_folder.File("a", "1"), _folder.File("b", "2"));
        string[] digests = [.. new[] { a, b, $"{a},{b}", $"{b},{a}", $"{a}@2,{b}" }.Select(t => DataFiles.Sha256(DataFiles.Of(t)))];
        Assert.Equal(digests.Length, digests.Distinct().Count());
        Assert.Equal(digests[0], DataFiles.Sha256(DataFiles.Of(_folder.File("c", "1"))));
    }

    private IEnumerable<string> Names(string pattern) => DataFiles.Of(_folder[pattern]).Select(f => Path.GetRelativePath(_folder.Path, f.Path));
}
