using System.Text.Json.Nodes;
using CsCheck;
using Halo.Models.Bundled;
using Halo.Models.Tokenizers;

namespace Halo.Tests.Models;

public class HfTokenizerTests
{
    private static readonly HfTokenizer Tokenizer = HfTokenizer.Load(LlamaTiny.Folder);

    [Fact]
    public void Every_case_has_the_ids_and_the_text_of_the_reference()
    {
        var cases = Fixture.Json("tokenizer-cases.json").EnumerateArray().ToList();
        Assert.Equal(162, cases.Count);
        foreach (var item in cases)
        {
            var (text, ids) = (item.GetProperty("text").GetString()!, Fixture.Ints(item.GetProperty("ids")));
            Assert.Equal(ids, Tokenizer.Encode(text, addSpecialTokens: true));
            Assert.Equal(Fixture.Ints(item.GetProperty("ids_plain")), Tokenizer.Encode(text, addSpecialTokens: false));
            Assert.Equal(item.GetProperty("decoded").GetString(), Tokenizer.Decode(ids, skipSpecialTokens: true));
        }
    }

    [Fact]
    public void Special_tokens_are_those_of_the_config()
    {
        Assert.Equal((2048, 0, 4, 5), (Tokenizer.VocabularySize, Tokenizer.BosId, Tokenizer.EosId, Tokenizer.PadId));
        Assert.Equal(4, Tokenizer.IdOf("<|eot_id|>"));
        Assert.Null(Tokenizer.IdOf("<|none|>"));
        Assert.NotNull(Tokenizer.ChatTemplate);
        Assert.Equal("<|begin_of_text|>hi", Tokenizer.Decode(Tokenizer.Encode("hi", true), skipSpecialTokens: false));
    }

    [Fact]
    public void Any_text_survives_the_round_trip() =>
        Gen.Int[1, 0x10FFFF].Where(c => c is < 0xD800 or > 0xDFFF).Array[0, 40].Select(codes => string.Concat(codes.Select(char.ConvertFromUtf32)))
            .Sample(text => Tokenizer.Decode(Tokenizer.Encode(text, false), false) == text, iter: 500, seed: "0000KOIPSNy1");

    [Fact]
    public void Bytes_that_are_no_text_decode_to_the_replacement_character()
    {
        var ids = Tokenizer.Encode("\U0001F680", false);
        Assert.Equal("\uFFFD", Tokenizer.Decode(ids.AsSpan(0, 1), false));
        Assert.Equal("\U0001F680", Tokenizer.Decode(ids, false));
        Assert.Equal(Tokenizer.Encode("\uFFFD", false), Tokenizer.Encode("\uD83D", false));
    }

    [Fact]
    public void Letters_beyond_the_basic_plane_are_letters()
    {
        // A mathematical bold A and an "a" are one piece, so that a merge of the last byte of the one with the other applies.
        var tokenizer = Load(json =>
        {
            json["model"]!["vocab"]!["\u0122a"] = 2048;
            json["model"]!["merges"] = new JsonArray(new JsonArray("\u0122", "a"));
        });
        Assert.Contains(2048, tokenizer.Encode("\U0001D400a", false));
    }

    [Theory]
    [InlineData("normalizer", """{"type":"NFC"}""")]
    [InlineData("truncation", """{"max_length":5}""")]
    [InlineData("decoder", """{"type":"Metaspace"}""")]
    [InlineData("pre_tokenizer", """{"type":"Metaspace"}""")]
    [InlineData("pre_tokenizer", """{"type":"Split","behavior":"Removed","pattern":{"Regex":"a"}}""")]
    [InlineData("pre_tokenizer", """{"type":"Split","behavior":"Isolated","pattern":{"Regex":"(a"}}""")]
    [InlineData("post_processor", """{"type":"BertProcessing"}""")]
    [InlineData("model/type", "\"WordPiece\"")]
    [InlineData("model/dropout", "0.1")]
    [InlineData("model/byte_fallback", "true")]
    [InlineData("model/end_of_word_suffix", "\"</w>\"")]
    [InlineData("model/merges", """["a"]""")]
    [InlineData("model/merges", """["a b c"]""")]
    [InlineData("model/merges", """[["a b","c"]]""")]
    [InlineData("model/merges", """[["","a"]]""")]
    [InlineData("model/merges", """[["a","t"],["a","t"]]""")]
    [InlineData("model/vocab/a", "7")]
    [InlineData("model/vocab", """{"a":-1}""")]
    [InlineData("model/vocab", """{"a":2147483647}""")]
    [InlineData("added_tokens", "[3]")]
    public void What_is_not_supported_is_an_error(string path, string value) => Assert.Throws<HaloException>(() => Load(path, value));

    [Fact]
    public void Merges_may_be_strings_and_the_pattern_GPT_2s()
    {
        var merges = JsonNode.Parse(File.ReadAllText(Path.Combine(LlamaTiny.Folder, "tokenizer.json")))!["model"]!["merges"]!.AsArray();
        var strings = new JsonArray([.. merges.Select(m => (JsonNode?)$"{m![0]} {m[1]}")]);
        Assert.Equal(Tokenizer.Encode("return self.value", false), Load("model/merges", strings.ToJsonString()).Encode("return self.value", false));
        var plain = Load("pre_tokenizer", """{"type":"ByteLevel","add_prefix_space":false}""");
        Assert.Equal("a  b1", plain.Decode(plain.Encode("a  b1", false), false));
        Assert.Equal(" a", Load("pre_tokenizer", """{"type":"ByteLevel","use_regex":false}""") is var t ? t.Decode(t.Encode("a", false), false) : "");
    }

    [Theory]
    [InlineData(""","lstrip":true,"rstrip":true""", "a <x> b", "a<x>b")]
    [InlineData(""","single_word":true""", "a<x>b", "a<x>b")]
    public void Added_tokens_honour_their_flags(string flags, string text, string decoded)
    {
        var tokenizer = Load("added_tokens", $$"""[{"id":2048,"content":"<x>","special":false{{flags}}}]""");
        var ids = tokenizer.Encode(text, false);
        Assert.Equal(!flags.Contains("single_word"), ids.Contains(2048));
        Assert.Equal(decoded, tokenizer.Decode(ids, false));
    }

    [Fact]
    public void A_truncated_file_is_an_error()
    {
        var bytes = File.ReadAllBytes(Path.Combine(LlamaTiny.Folder, "tokenizer.json"));
        using var folder = new TemporaryFolder();
        for (var length = 0; length < bytes.Length - 1; length += 4999)
        {
            File.WriteAllBytes(folder["tokenizer.json"], bytes[..length]);
            Assert.Throws<HaloException>(() => HfTokenizer.Load(folder.Path));
        }
    }

    private static HfTokenizer Load(string path, string value) => Load(json =>
    {
        var names = path.Split('/');
        names[..^1].Aggregate(json, (node, name) => node[name]!)[names[^1]] = JsonNode.Parse(value);
    });

    private static HfTokenizer Load(Action<JsonNode> edit)
    {
        var json = JsonNode.Parse(File.ReadAllText(Path.Combine(LlamaTiny.Folder, "tokenizer.json")))!;
        edit(json);
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder["tokenizer.json"], json.ToJsonString());
        return HfTokenizer.Load(folder["tokenizer.json"]);
    }
}
