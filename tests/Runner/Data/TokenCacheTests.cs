using Halo.Models.Bundled;
using Halo.Models.Tokenizers;
using Halo.Runner.Data;

namespace Halo.Tests.Runner.Data;

/// <summary>Rows from a file of tokens are those that are held in memory.</summary>
public sealed class TokenCacheTests : IDisposable
{
    private static readonly HfTokenizer Tokenizer = HfTokenizer.Load(LlamaTiny.Folder);
    private readonly TemporaryFolder _folder = new();
    private readonly string _data;

    public TokenCacheTests()
    {
        _folder.File("a.jsonl", string.Concat(Enumerable.Range(1, 40).Select(i => $$"""{"prompt": "{{new string('q', i * 3)}} {{i}}", "completion": "a{{i * 31}}"}""" + "\n")));
        _folder.File("b.txt", string.Concat(Enumerable.Range(0, 500).Select(i => $"some words {i}\n")));
        _data = $"{_folder["a.jsonl"]}@2,{_folder["b.txt"]}";
    }

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(4096)]
    [InlineData(21)]
    [InlineData(9)]
    public void A_file_of_tokens_gives_the_rows_in_memory(int length)
    {
        var held = Load(new RowSettings(), length);
        foreach (var settings in new[] { Cached(), Cached(), new RowSettings { HeldBytes = 0 } }) // written, read again, and without a folder
        {
            var found = Load(settings, length);
            Assert.Equal(held.Rows.Select(r => r.Ids), found.Rows.Select(r => r.Ids));
            Assert.Equal(held.Rows.Select(r => r.LossMask), found.Rows.Select(r => r.LossMask));
            Assert.Equal(held.Summary, found.Summary);
        }
        Assert.Single(Directory.GetFiles(_folder["cache"]));
    }

    [Fact]
    public void Tokens_are_found_again_where_content_and_settings_are_the_same()
    {
        Load(Cached());
        Assert.Contains("tokens were read from", Load(Cached()).Notes[^1]);
        Assert.Contains("tokens are kept in", Load(Cached() with { Learn = LearnedTokens.All }).Notes[^1]);
        File.AppendAllText(_folder["b.txt"], "x");
        Assert.Contains("tokens are kept in", Load(Cached()).Notes[^1]);
        Assert.Equal(3, Directory.GetFiles(_folder["cache"]).Length);
    }

    [Fact]
    public void A_damaged_file_is_said_and_written_again()
    {
        var whole = Load(Cached());
        var path = Directory.GetFiles(_folder["cache"]).Single();
        var bytes = File.ReadAllBytes(path);
        foreach (var damage in new Func<byte[]>[] { () => bytes[..^1], () => bytes[..(bytes.Length / 2)], () => [], () => Flipped(0), () => Flipped(bytes.Length / 2), () => Flipped(bytes.Length - 20) })
        {
            File.WriteAllBytes(path, damage());
            var found = Load(Cached());
            Assert.Contains(found.Notes, note => note.Contains("is damaged"));
            Assert.Equal(whole.Rows.Select(r => r.Ids), found.Rows.Select(r => r.Ids));
            Assert.Equal(bytes, File.ReadAllBytes(path));
        }

        byte[] Flipped(int at)
        {
            byte[] flipped = [.. bytes];
            flipped[at] ^= 4;
            return flipped;
        }
    }

    [Fact]
    public void Data_that_are_refused_leave_nothing_behind()
    {
        File.AppendAllText(_folder["a.jsonl"], "{\"prompt\": 3}\n");
        Assert.Throws<HaloException>(() => Load(Cached()));
        Assert.Empty(Directory.GetFiles(_folder["cache"]));
    }

    private RowSettings Cached() => new() { CacheFolder = _folder["cache"], KeepsAll = true };

    private ChatDataset Load(RowSettings settings, int length = 64) => ChatDataset.Load(_data, Tokenizer, settings, length);
}
