using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
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
    [InlineData("normalizer", """{"type":"Lowercase"}""")]
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
    [InlineData("added_tokens", """[{"id":2147483647,"content":"<x>"}]""")]
    [InlineData("added_tokens", """[{"id":0,"content":"<x>"},{"id":0,"content":"<y>"}]""")]
    [InlineData("added_tokens", """[{"id":2047,"content":"<x>"}]""")]
    [InlineData("added_tokens", """[{"id":2048,"content":"a"}]""")]
    [InlineData("pre_tokenizer", """{"type":"Sequence","pretokenizers":[{"type":"Split","behavior":"0","pattern":{"Regex":"a"}},{"type":"ByteLevel"}]}""")]
    [InlineData("pre_tokenizer", """{"type":"Sequence","pretokenizers":[{"type":"Split","behavior":"Isolated","pattern":{"String":""}},{"type":"ByteLevel"}]}""")]
    [InlineData("normalizer", """{"type":"Sequence","normalizers":[{"type":"NFKC"}]}""")]
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

    /// <summary>Expected ids: Hugging Face's tokenizers.</summary>
    [Fact]
    public void Digits_beyond_the_basic_plane_are_whole()
    {
        Assert.Equal([178, 257, 259, 243, 178, 257, 259, 244, 178, 257, 259, 245], Tokenizer.Encode("\U0001D7CF\U0001D7D0\U0001D7D1", false));
        foreach (var text in new[] { "\U0001D7EC\U00011066\U0001FBF0\U00010140\U0001F100", "a\U0001D7CF1\U0001D7D02 \U0001D7D1", "\U00010140\U00010140 \U0001F100!" })
            Assert.Equal(text, Tokenizer.Decode(Tokenizer.Encode(text, false), false));
    }

    /// <summary>Of three numbers at a time, the third of which stands beyond U+FFFF, pieces have three.</summary>
    [Fact]
    public void Patterns_count_characters()
    {
        var split = new PreTokenizer([new SplitStep(new Regex(@"\p{N}{1,3}"))], false);
        Assert.Equal([(0, 4), (4, 6), (10, 1)], split.Split("12\U0001D7CF\U0001D7CF\U0001D7CF\U0001D7CFx"));
        Assert.Equal([(0, 2), (2, 2)], new PreTokenizer([new SplitStep(new Regex("."))], false).Split("\U0001D7CF\U0001F680"));
    }

    /// <summary>Behaviors as the library documents them, on "the-final--countdown" cut at "-".</summary>
    [Theory]
    [InlineData("Removed", false, "the|final|countdown")]
    [InlineData("Isolated", false, "the|-|final|-|-|countdown")]
    [InlineData("MergedWithPrevious", false, "the-|final-|-|countdown")]
    [InlineData("MergedWithNext", false, "the|-final|-|-countdown")]
    [InlineData("Contiguous", false, "the|-|final|--|countdown")]
    [InlineData("Removed", true, "-|-|-")]
    public void Pieces_are_cut_as_the_behavior_says(string behavior, bool invert, string expected)
    {
        const string Text = "the-final--countdown";
        var split = new PreTokenizer([new SplitStep(new Regex("-"), Enum.Parse<SplitBehavior>(behavior), invert)], false);
        Assert.Equal(expected, string.Join('|', split.Split(Text).Select(piece => Text.Substring(piece.Start, piece.Length))));
    }

    [Fact]
    public void Pre_tokenizers_of_other_byte_level_models_are_read()
    {
        var bytes = """{"type":"ByteLevel","add_prefix_space":false,"use_regex":true}""";
        var digits = Load("pre_tokenizer", """{"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},""" + bytes + "]}");
        Assert.Equal(digits.Encode("1", false).Concat(digits.Encode("2", false)), digits.Encode("12", false));
        var json = JsonNode.Parse(File.ReadAllText(Path.Combine(LlamaTiny.Folder, "tokenizer.json")))!;
        var split = json["pre_tokenizer"]!["pretokenizers"]![0]!;
        (split["behavior"], split["invert"]) = ("Removed", true);
        var inverted = Load("pre_tokenizer", json["pre_tokenizer"]!.ToJsonString());
        foreach (var text in new[] { "select a.b from t where x = 'it''s 12345'", "  two\n\n lines\t", "\u00E9\U0001D7CF\U0001D7D0 done" })
            Assert.Equal(Tokenizer.Encode(text, false), inverted.Encode(text, false));
    }

    [Fact]
    public void What_a_caller_left_in_the_file_is_passed_over_and_said()
    {
        var tokenizer = Load(json =>
        {
            json["truncation"] = JsonNode.Parse("""{"direction":"Right","max_length":2,"strategy":"LongestFirst","stride":0}""");
            json["padding"] = JsonNode.Parse("""{"strategy":{"Fixed":9},"direction":"Right","pad_id":5,"pad_type_id":0,"pad_token":"x"}""");
            json["normalizer"] = JsonNode.Parse("""{"type":"Sequence","normalizers":[]}""");
        });
        Assert.Equal(Tokenizer.Encode("one two three four", true), tokenizer.Encode("one two three four", true));
        Assert.Equal(2, tokenizer.Notes.Count(note => note.Contains("is passed over")));
    }

    [Fact]
    public void A_byte_without_a_token_is_an_error_of_the_text()
    {
        var tokenizer = Load(json =>
        {
            json["model"]!["vocab"]!.AsObject().Remove("\u00C3"); // byte 0xC3, the first of \u00E9
            json["model"]!["merges"] = new JsonArray();
        });
        Assert.Equal("caf", tokenizer.Decode(tokenizer.Encode("caf", false), false));
        Assert.Contains("0xC3", Assert.Throws<HaloException>(() => tokenizer.Encode("caf\u00E9", false)).Message);
    }

    [Theory]
    [InlineData("(a+)+$")]
    [InlineData(@"(a*)*\1*b")]
    [InlineData("a(?=(a|aa)*b)|a")]
    public void A_pattern_that_searches_in_circles_is_stopped(string pattern)
    {
        var tokenizer = Load("pre_tokenizer", new JsonObject
        {
            ["type"] = "Sequence",
            ["pretokenizers"] = new JsonArray(
                new JsonObject { ["type"] = "Split", ["behavior"] = "Isolated", ["pattern"] = new JsonObject { ["Regex"] = pattern } },
                new JsonObject { ["type"] = "ByteLevel", ["add_prefix_space"] = false, ["use_regex"] = false }),
        }.ToJsonString());
        var begun = ThreadTime.Seconds;
        Assert.Contains("in time", Assert.Throws<HaloException>(() => tokenizer.Encode(new string('a', 60) + "!", false)).Message);
        Assert.InRange(ThreadTime.Seconds - begun, 0, 5);
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
