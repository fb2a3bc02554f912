using Halo.Models.Bundled;
using Halo.Models.Chat;
using Halo.Models.Tokenizers;
using Halo.Runner.Data;
using Halo.Tests.Models;

namespace Halo.Tests.Runner.Data;

public sealed class ChatDatasetTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Cuts_long_rows_and_leaves_out_those_without_an_answer()
    {
        var path = Rows(("ab", "cd"), ("abc", "defgh"), ("abcdefgh", "i"));
        var data = ChatDataset.Load(path, Letters, maxLength: 6);
        Assert.Equal((2, 1, 1, 10), (data.Rows.Count, data.Truncated, data.Dropped, data.LongestRow));
        Assert.Equal([1, 'a', 'b', 'c', 'd'], data.Rows[0].Ids);
        Assert.Equal([0, 0, 0, 0, 1, 1], data.Rows[1].LossMask);
        Assert.Equal((11L, 4L), (data.Tokens, data.CountedTokens));
    }

    [Fact]
    public void Refuses_data_of_which_nothing_is_left()
        => Assert.Contains("none in 1 rows", Assert.Throws<HaloException>(() => ChatDataset.Load(Rows(("abcdefgh", "i")), Letters, 6)).Message);

    [Fact]
    public void Refuses_an_encoder_that_counts_nothing()
    {
        var e = Assert.Throws<HaloException>(() => ChatDataset.Load(Rows(("a", "b")), m => ([1, 2], [1, 0]), 6));
        Assert.Contains("line 1", e.Message);
    }

    [Fact]
    public void Names_the_line_that_the_encoder_refuses()
    {
        var e = Assert.Throws<HaloException>(() =>
            ChatDataset.Load(Rows(("a", "b")), _ => throw new HaloException("chat-template", "message 1", "x", "y", "Z."), 6));
        Assert.EndsWith("line 1: message 1", e.Subject);
    }

    [Fact]
    public void Bundled_data_fits_the_bundled_model()
    {
        var tokenizer = new ChatTokenizer(HfTokenizer.Load(LlamaTiny.Folder));
        var data = ChatDataset.Load(Path.Combine(AppContext.BaseDirectory, "data", "sql", "valid.jsonl"), tokenizer.Encode, LlamaTiny.TrainingSequence);
        Assert.Equal((150, 0, true), (data.Rows.Count, data.Dropped, data.CountedTokens < data.Tokens));
        var eot = tokenizer.Tokenizer.IdOf("<|eot_id|>");
        Assert.All(data.Rows.Where(r => r.Ids.Length < data.MaxLength), r => Assert.Equal((eot, 1), (r.Ids[^1], r.LossMask[^1])));
    }

    [Fact]
    public void Says_that_no_end_of_turn_is_learned()
    {
        var path = Rows(("a", "b"), ("c", "d"));
        Assert.Empty(ChatDataset.Load(path, Templates.Chat(HfTokenizer.Load(LlamaTiny.Folder).ChatTemplate!), 64).Notes);
        Assert.Contains("will not learn to stop", Assert.Single(ChatDataset.Load(path, Templates.Chat(Templates.EndByNext), 64).Notes));
        Assert.Contains("<think>", Assert.Single(ChatDataset.Load(path, Templates.Chat(Templates.Think), 64).Notes));
    }

    [Fact]
    public void Hands_tools_to_the_template()
    {
        const string Row = """{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]""";
        var path = _folder.File("d.jsonl", Row + "}\n" + Row + """, "tools": [{"name": "f", "n": [1, 2.5, null, true]}]}""" + "\n");
        var chat = Templates.Chat(Templates.Tools);
        Assert.Equal(["<|start_header_id|>userabassistant", """<|start_header_id|>[{"name": "f", "n": [1, 2.5, null, true]}]userabassistant"""],
            ChatDataset.Load(path, chat, 200).Rows.Select(r => chat.Tokenizer.Decode(r.Ids, false).Replace("<|eot_id|>", "") + "assistant"));
        var e = Assert.Throws<HaloException>(() => ChatDataset.Load(path, Templates.Chat(Templates.Think), 200));
        Assert.Contains("line 2: tools: expected a template that writes tools", e.Message);
    }

    private string Rows(params (string User, string Assistant)[] rows) => _folder.File("d.jsonl", string.Concat(rows.Select(r =>
        $$"""{"messages": [{"role": "user", "content": "{{r.User}}"}, {"role": "assistant", "content": "{{r.Assistant}}"}]}""" + "\n")));

    /// <summary>A begin token, then a token a letter; the assistant's letters count.</summary>
    private static (int[], byte[]) Letters(ChatConversation chat) => (
        [1, .. chat.Messages.SelectMany(m => m.Content.Select(c => (int)c))],
        [0, .. chat.Messages.SelectMany(m => m.Content.Select(_ => (byte)(m.Role == "assistant" ? 1 : 0)))]);
}
