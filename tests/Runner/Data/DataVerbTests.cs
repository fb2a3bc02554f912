using Halo.Models.Bundled;
using Halo.Runner.Inspection;

namespace Halo.Tests.Runner.Data;

public sealed class DataVerbTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void It_shows_what_is_learned_and_what_is_lost()
    {
        var path = _folder.File("rows.jsonl", string.Join('\n',
            """{"prompt": "ask", "completion": "say"}""",
            """{"prompt": "ask", "completion": "say"}""",
            $$"""{"prompt": "ask", "completion": "{{string.Join(' ', Enumerable.Range(0, 40))}}"}""",
            $$"""{"prompt": "{{string.Join(' ', Enumerable.Range(0, 40))}}", "completion": "say"}"""));
        var output = HaloConsole.Succeed("data", path, "--model", LlamaTiny.Folder, "--sequence-length", "24", "--rows", "1", "--html", _folder["page.html"]);
        Assert.Contains("ask<|eot_id|>", output);
        Assert.Contains("\u00ABsay<|eot_id|>\u00BB", output);
        Assert.Contains("3 rows of form completion (prompt, completion, tools)", output);
        Assert.Contains($"{path}, line 2: the tokens of {path}, line 1", output);
        Assert.Matches($"{path}, line 3: cut: \\d+ tokens, of which \\d+ of \\d+ learned ones are lost", output);
        Assert.Matches($"{path}, line 4: left out: \\d+ tokens, the first learned one at \\d+", output);
        Assert.Contains("note: 1 answers are cut at token 24", output);
        Assert.Contains("note: 1 rows are left out", output);
        var page = File.ReadAllText(_folder["page.html"]);
        Assert.Contains("class=\"learned\"", page);
        Assert.Contains("Cut and left out", page);
    }

    [Fact]
    public void It_says_where_prompts_are_learned()
    {
        var path = _folder.File("rows.jsonl", """{"prompt": "ask", "completion": "say"}""");
        Assert.Contains("of 1 conversations every token is learned", HaloConsole.Succeed("data", path, "--model", LlamaTiny.Folder, "--learn", "all"));
    }

    [Fact]
    public void It_refuses_rows_as_training_does()
    {
        var path = _folder.File("rows.jsonl", """{"prompt": "ask", "completion": 3}""");
        HaloConsole.Refused(_folder, "line 1: expected 'completion' as a string", "data", path, "--model", LlamaTiny.Folder);
        HaloConsole.Refused(_folder, "--html", "data", path, "--model", LlamaTiny.Folder, "--html", path);
    }

    [Theory]
    [InlineData(new[] { 5, 5, 5, 5 }, 2)]
    [InlineData(new[] { 10, 1, 9, 2, 8 }, 3)]
    [InlineData(new[] { 6, 6, 6 }, 3)]
    public void Packing_counts_rows_that_hold_all(int[] lengths, int bins) => Assert.Equal(bins, DataReport.Bins(lengths, 10));
}
