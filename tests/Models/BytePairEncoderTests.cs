using CsCheck;
using Halo.Models.Bundled;
using Halo.Models.Tokenizers;

namespace Halo.Tests.Models;

/// <summary>The library's merging gives the ids and places of <see cref="PlainBytePairMerging"/>.</summary>
public class BytePairEncoderTests
{
    private const string Seed = "0000KOIPSNy1";
    private static readonly TokenizerJson Json = TokenizerJson.Load(Path.Combine(LlamaTiny.Folder, "tokenizer.json"));
    private static readonly BytePairEncoder Encoder = new(Json.Vocabulary, Json.Merges, ignoreMerges: false);
    private static readonly PlainBytePairMerging Plain = new(Json.Vocabulary, Json.Merges);

    [Fact]
    public void It_merges_every_piece_of_the_reference_cases()
    {
        var pieces = Fixture.Json("tokenizer-cases.json").EnumerateArray().SelectMany(item => Pieces(item.GetProperty("text").GetString()!))
            .Distinct().ToList();
        Assert.True(pieces.Count > 400, $"{pieces.Count} pieces");
        Assert.All(pieces, piece => Assert.Equal(Plain.Merge(piece), Encoder.Encode(piece)));
    }

    [Fact]
    public void It_merges_random_unicode_cut_or_not() =>
        Gen.Int[1, 0x10FFFF].Where(c => c is < 0xD800 or > 0xDFFF).Array[1, 60].Select(codes => string.Concat(codes.Select(char.ConvertFromUtf32)))
            .Sample(text => Pieces(text).Append(Symbols(text)).All(Agree), iter: 500, seed: Seed);

    [Fact]
    public void It_merges_random_bytes() =>
        Gen.Byte.Array[1, 80].Select(bytes => string.Concat(bytes.Select(ByteLevel.Char))).Sample(Agree, iter: 1000, seed: Seed);

    [Fact]
    public void It_merges_words_of_frequent_letters() =>
        Gen.Char["aeinorst"].Array[1, 60].Select(chars => new string(chars)).Sample(Agree, iter: 1000, seed: Seed);

    [Fact]
    public void It_merges_long_pieces()
    {
        Assert.All(["a", " ", "ab", "select", "0123456789", "\U0001F680", "\u00E9\u00E8"],
            unit => Assert.True(Agree(Symbols(string.Concat(Enumerable.Repeat(unit, 2000 / unit.Length)))), unit));
        Gen.Char["etaoinshrdlu "].Array[2000].Select(chars => Symbols(new string(chars))).Sample(Agree, iter: 5, seed: Seed);
    }

    [Fact]
    public void It_merges_by_any_list_of_merges()
    {
        // Three letters and merges of random tokens: the same token along two ways, overlaps, and merges that outrank those they need.
        var cases = Gen.Select(Gen.Int[0, int.MaxValue].Array[1, 14], Gen.Int.Array[14], Gen.Char["abc"].Array[1, 40]);
        cases.Sample((picks, order, letters) =>
        {
            var tokens = new List<string> { "a", "b", "c" };
            var merges = new List<string>();
            foreach (var pick in picks)
            {
                var (left, right) = (tokens[pick % tokens.Count], tokens[pick / tokens.Count % tokens.Count]);
                if (merges.Contains($"{left} {right}")) continue;
                merges.Add($"{left} {right}");
                if (!tokens.Contains(left + right)) tokens.Add(left + right);
            }
            var ranked = merges.Index().OrderBy(merge => order[merge.Index]).Select(merge => merge.Item).ToList();
            var vocabulary = tokens.Index().ToDictionary(token => token.Item, token => token.Index);
            var text = new string(letters);
            return new BytePairEncoder(vocabulary, ranked, ignoreMerges: false).Encode(text)
                .SequenceEqual(new PlainBytePairMerging(vocabulary, ranked).Merge(text));
        }, iter: 5000, seed: Seed);
    }

    /// <summary>A million letters that nothing cuts took the library minutes.</summary>
    [Fact]
    public void Pieces_that_nothing_cuts_are_merged_alike_and_in_time()
    {
        var merging = new LongPieceMerging(Json.Vocabulary, Json.Merges);
        Gen.Char["etaoinshrdlu "].Array[1, 200].Select(chars => Symbols(new string(chars)))
            .Sample(symbols => merging.Merge(symbols).SequenceEqual(Plain.Merge(symbols)), iter: 500, seed: Seed);
        Gen.Byte.Array[1, 80].Select(bytes => string.Concat(bytes.Select(ByteLevel.Char)))
            .Sample(symbols => merging.Merge(symbols).SequenceEqual(Plain.Merge(symbols)), iter: 500, seed: Seed);
        Assert.All(["a", " ", "ab", "select"], unit => Assert.Equal(Plain.Merge(Symbols(string.Concat(Enumerable.Repeat(unit, 200)))),
            merging.Merge(Symbols(string.Concat(Enumerable.Repeat(unit, 200))))));
        var begun = ThreadTime.Seconds;
        Assert.Equal(0, Encoder.Encode(new string('e', 1_000_000)).First().Start);
        Assert.InRange(ThreadTime.Seconds - begun, 0, 20);
    }

    [Fact]
    public void With_ignore_merges_a_piece_of_the_vocabulary_is_one_token()
    {
        var vocabulary = new Dictionary<string, int> { ["a"] = 0, ["b"] = 1, ["ab"] = 2, ["abb"] = 3 };
        Assert.Equal([(3, 0)], new BytePairEncoder(vocabulary, ["a b"], ignoreMerges: true).Encode("abb"));
        Assert.Equal([(2, 0), (1, 2)], new BytePairEncoder(vocabulary, ["a b"], ignoreMerges: false).Encode("abb"));
    }

    [Fact]
    public void Threads_can_share_it()
    {
        // Most words come twice, so that the library's cache is read and written at once.
        var words = Enumerable.Range(0, 30000).Select(i => Symbols($"word{i * 7919 % 16384}")).ToList();
        var expected = words.Select(word => Plain.Merge(word).ToList()).ToList();
        var shared = new BytePairEncoder(Json.Vocabulary, Json.Merges, ignoreMerges: false);
        Parallel.For(0, words.Count, new ParallelOptions { MaxDegreeOfParallelism = 8 }, i => Assert.Equal(expected[i], shared.Encode(words[i])));
    }

    [Fact]
    public void Words_are_merged_alike_without_the_library()
    {
        Gen.Char["aeinorst 0123'\u00E9\u4E2D\n"].Array[1, 70].Select(chars => new string(chars)).Sample(AgreesOnWord, iter: 3000, seed: Seed);
        Gen.Int[1, 0x10FFFF].Where(c => c is < 0xD800 or > 0xDFFF).Array[1, 20].Select(codes => string.Concat(codes.Select(char.ConvertFromUtf32)))
            .Sample(AgreesOnWord, iter: 1000, seed: Seed);
        var whole = new BytePairEncoder(new Dictionary<string, int> { ["a"] = 0, ["b"] = 1, ["ab"] = 2, ["abb"] = 3, ["\u0120"] = 4, ["\u0120a"] = 5 }, ["a b"], ignoreMerges: true);
        Assert.Equal([new Token(3, 0)], whole.EncodeShort("abb", addPrefixSpace: false)!);
        Assert.Equal([new Token(5, 0)], whole.EncodeShort("a", addPrefixSpace: true)!);
        Assert.Equal([new Token(4, 0), new Token(2, 0)], whole.EncodeShort("ab", addPrefixSpace: true)!);
        Assert.Null(whole.EncodeShort("c", addPrefixSpace: false));
    }

    private static bool AgreesOnWord(string text)
    {
        var bytes = System.Text.Encoding.UTF8.GetByteCount(text);
        var found = Encoder.EncodeShort(text, addPrefixSpace: false);
        if (bytes > ShortPieceMerging.MaxBytes) return found is null;
        var starts = text.EnumerateRunes().Aggregate((At: 0, Starts: new List<int>()), (s, rune) =>
        {
            s.Starts.AddRange(Enumerable.Repeat(s.At, rune.Utf8SequenceLength));
            return (s.At + rune.Utf16SequenceLength, s.Starts);
        }).Starts;
        return found!.Select(t => (t.Id, t.Start)).SequenceEqual(Plain.Merge(Symbols(text)).Select(t => (t.Item1, starts[t.Item2])));
    }

    private static bool Agree(string symbols) => Encoder.Encode(symbols).SequenceEqual(Plain.Merge(symbols));

    private static IEnumerable<string> Pieces(string text) => Json.PreTokenizer.Split(text).Select(piece => Symbols(text.Substring(piece.Start, piece.Length)));

    private static string Symbols(string text) => string.Concat(System.Text.Encoding.UTF8.GetBytes(text).Select(ByteLevel.Char));
}
