using Halo.Models.Bundled;
using Halo.Models.Tokenizers;

namespace Halo.Tests.Models;

public sealed class TokenStreamTests
{
    private static readonly HfTokenizer Tokenizer = HfTokenizer.Load(LlamaTiny.Folder);

    [Fact]
    public void Pieces_are_together_the_decoded_text()
    {
        foreach (var test in Fixture.Json("tokenizer-cases.json").EnumerateArray())
        {
            var ids = Fixture.Ints(test.GetProperty("ids"));
            var stream = new TokenStream(Tokenizer, skipSpecialTokens: true);
            Assert.Equal(Tokenizer.Decode(ids, skipSpecialTokens: true), string.Concat(ids.Select(stream.Add)) + stream.End());
        }
    }

    [Fact]
    public void A_character_comes_when_its_last_byte_comes()
    {
        var ids = Tokenizer.Encode("\U0001F600", addSpecialTokens: false);
        Assert.True(ids.Length > 1, "the test wants a character of several tokens");
        var stream = new TokenStream(Tokenizer, skipSpecialTokens: false);
        Assert.All(ids[..^1], id => Assert.Equal("", stream.Add(id)));
        Assert.Equal("\U0001F600", stream.Add(ids[^1]));
        Assert.Equal("", stream.End());
    }

    [Fact]
    public void A_character_that_is_cut_off_ends_as_a_replacement()
    {
        var ids = Tokenizer.Encode("\U0001F600", addSpecialTokens: false)[..^1];
        var stream = new TokenStream(Tokenizer, skipSpecialTokens: false);
        Assert.Equal(Tokenizer.Decode(ids, skipSpecialTokens: false), string.Concat(ids.Select(stream.Add)) + stream.End());
    }

    [Fact]
    public void Special_tokens_are_skipped_or_spelled_out()
    {
        var eos = Tokenizer.EosId!.Value;
        Assert.Equal("", new TokenStream(Tokenizer, skipSpecialTokens: true).Add(eos));
        Assert.Equal(Tokenizer.EosToken, new TokenStream(Tokenizer, skipSpecialTokens: false).Add(eos));
    }
}
