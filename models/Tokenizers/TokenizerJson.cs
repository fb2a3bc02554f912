using System.Text.Json;
using System.Text.RegularExpressions;
using Halo.Models.Json;

namespace Halo.Models.Tokenizers;

/// <summary>What a <c>tokenizer.json</c> asks for, in the forms the encoder takes.</summary>
/// <remarks>
/// BPE: of bytes, or of characters with bytes to fall back to, as SentencePiece makes it. Whatever else the file asks for is named in a
/// <see cref="HaloException"/>: ids that differ slightly train a slightly wrong model.
/// Truncation and padding are settings that a caller left in the file; rows are cut and padded by their sequence, so both are passed over with a note.
/// </remarks>
internal sealed record TokenizerJson(
    IReadOnlyDictionary<string, int> Vocabulary, IReadOnlyList<string> Merges, bool IgnoreMerges,
    IReadOnlyList<AddedToken> Added, PreTokenizer PreTokenizer, IReadOnlyList<int> Prefix, IReadOnlyList<int> Suffix)
{
    private static readonly string[] PassedOver = ["truncation", "padding"];

    /// <summary>What the file asks for and is passed over, a sentence each.</summary>
    internal IReadOnlyList<string> Notes { get; private init; } = [];

    /// <summary>What is done to a text, but for added tokens that are found before.</summary>
    internal IReadOnlyList<Func<MappedText, MappedText>> Normalizer { get; private init; } = [];

    internal required TokenDecoding Decoding { get; init; }

    /// <summary>Characters without a token become tokens of their bytes.</summary>
    internal bool HasByteFallback { get; private init; }

    /// <summary>The token of what has none; null where that is an error.</summary>
    internal int? UnknownId { get; private init; }

    /// <summary>Unknown characters side by side are one token.</summary>
    internal bool FusesUnknown { get; private init; }

    internal static TokenizerJson Load(string path)
    {
        using var json = JsonFields.Open("read-tokenizer", path);
        var model = json.Object("model") ?? throw json.Defect("model", "a BPE model", "none");
        CheckModel(model);
        var decoding = TokenDecoding.Read(json);
        var vocabulary = ReadVocabulary(model, decoding.IsByteLevel);
        var added = (json.Array("added_tokens") ?? []).Select(item => ReadAdded(json.Child("added_tokens", item))).ToList();
        CheckIds(json, vocabulary, added);
        var hasFallback = model.Flag("byte_fallback") ?? false;
        if (decoding.IsByteLevel && hasFallback) throw model.Unsupported("byte_fallback", "false where tokens are bytes", "true");
        var unknown = model.Text("unk_token") is { } unk && !decoding.IsByteLevel
            ? vocabulary.TryGetValue(unk, out var unkId) ? unkId : throw model.Defect("unk_token", "a token of the vocabulary", $"'{unk}'") : (int?)null;
        var (prefix, suffix) = PostProcessorJson.Read(json);
        var known = vocabulary.Values.Concat(added.Select(token => token.Id)).ToHashSet();
        foreach (var id in prefix.Concat(suffix))
            if (!known.Contains(id)) throw json.Defect("post_processor", "ids of tokens", $"{id}, which no token has");
        return new TokenizerJson(vocabulary, ReadMerges(model, vocabulary), model.Flag("ignore_merges") ?? false, added,
            PreTokenizerJson.Read(json, decoding.IsByteLevel), prefix, suffix)
        {
            Normalizer = NormalizerJson.Read(json),
            Decoding = decoding,
            HasByteFallback = hasFallback,
            UnknownId = unknown,
            FusesUnknown = model.Flag("fuse_unk") ?? false,
            Notes = [.. PassedOver.Where(name => json.Field(name) is not null)
                .Select(name => $"{path}: '{name}' is passed over: rows are cut and padded by the sequence length")],
        };
    }

    /// <summary>Every token has an id and every id one token; and there are no large holes, as tables are as long as the largest id.</summary>
    private static void CheckIds(JsonFields json, Dictionary<string, int> vocabulary, List<AddedToken> added)
    {
        var owners = vocabulary.ToDictionary(token => token.Value, token => token.Key);
        foreach (var token in added)
        {
            if (vocabulary.TryGetValue(token.Content, out var id) && id != token.Id)
                throw json.Defect("added_tokens", $"the id of '{token.Content}' in the vocabulary, {id}", $"{token.Id}");
            if (!owners.TryAdd(token.Id, token.Content) && owners[token.Id] != token.Content)
                throw json.Defect("added_tokens", "an id per token", $"'{token.Content}' with that of '{owners[token.Id]}'");
        }
        if (owners.Count == 0) throw json.Defect("model", "tokens", "none");
        if (owners.Keys.Max() is var largest && largest >= 2L * owners.Count + 65536)
            throw json.Defect("model", "ids without large holes", $"{owners.Count} tokens and the id {largest}");
    }

    private static void CheckModel(JsonFields model)
    {
        if ((model.Text("type") ?? "BPE") is var type && type != "BPE") throw model.Unsupported("type", "BPE", type);
        if (model.Number("dropout") is { } dropout && dropout != 0) throw model.Unsupported("dropout", "null or 0", $"{dropout}");
        foreach (var name in new[] { "continuing_subword_prefix", "end_of_word_suffix" })
            if (model.Text(name) is { Length: > 0 } affix) throw model.Unsupported(name, "null", affix);
    }

    private static Dictionary<string, int> ReadVocabulary(JsonFields model, bool isByteLevel)
    {
        var vocabulary = new Dictionary<string, int>();
        var seen = new HashSet<int>();
        var fields = model.Object("vocab") ?? throw model.Defect("vocab", "an object of token ids", "none");
        foreach (var entry in fields.Properties)
        {
            vocabulary.Add(entry.Name, fields.WholeOf(entry.Name, entry.Value));
            if (!seen.Add(vocabulary[entry.Name])) throw model.Defect("vocab", "an id per token", $"'{entry.Name}' with another's");
        }
        if (isByteLevel && ByteLevel.Alphabet.All(symbol => !vocabulary.ContainsKey(symbol.ToString())))
            throw model.Defect("vocab", "tokens for bytes", "none, as if another alphabet were used");
        return vocabulary;
    }

    /// <summary>The pairs to merge, the lowest rank first, with a space between the two.</summary>
    private static List<string> ReadMerges(JsonFields model, Dictionary<string, int> vocabulary)
    {
        var merges = new List<string>();
        var seen = new HashSet<string>();
        foreach (var item in model.Array("merges") ?? throw model.Defect("merges", "a list", "none"))
        {
            string[] pair = item.ValueKind == JsonValueKind.Array
                ? [.. item.EnumerateArray().Select(e => model.TextOf("merges", e))]
                : model.TextOf("merges", item).Split(' ');
            if (pair.Length != 2 || pair.Any(token => token.Length == 0 || token.Contains(' ')))
                throw model.Defect("merges", "two tokens each", item.GetRawText());
            foreach (var token in (string[])[.. pair, string.Concat(pair)])
                if (!vocabulary.ContainsKey(token)) throw model.Defect("merges", "tokens of the vocabulary", $"'{token}'");
            merges.Add(string.Join(' ', pair));
            if (!seen.Add(merges[^1])) throw model.Defect("merges", "each pair once", $"'{merges[^1]}' twice");
        }
        return merges;
    }

    private static AddedToken ReadAdded(JsonFields token) => new(
        token.Whole("id") ?? throw token.Defect("id", "a token id", "none"), token.Text("content") ?? throw token.Defect("content", "text", "none"),
        token.Flag("special") ?? false, token.Flag("lstrip") ?? false, token.Flag("rstrip") ?? false, token.Flag("single_word") ?? false,
        token.Flag("normalized") ?? true);
}

/// <summary>The <c>pre_tokenizer</c>: Split patterns and Digits, then ByteLevel where tokens are bytes; else Metaspace, patterns or nothing.</summary>
internal static class PreTokenizerJson
{
    /// <summary>Real files have up to ten steps.</summary>
    private const int MaxSteps = 64;

    internal static PreTokenizer Read(JsonFields json, bool isByteLevel)
    {
        if (json.Object("pre_tokenizer") is not { } top)
            return isByteLevel ? throw json.Defect("pre_tokenizer", "Split and ByteLevel", "none") : new PreTokenizer([], false);
        var steps = top.Text("type") == "Sequence" ? [.. (top.Array("pretokenizers") ?? []).Select(item => top.Child("pretokenizers", item))] : new[] { top };
        if (steps.Length > MaxSteps) throw top.Unsupported("pretokenizers", $"at most {MaxSteps} steps", $"{steps.Length}");
        var (splits, hasBytes, addPrefixSpace) = (new List<SplitStep>(), false, false);
        Metaspace? metaspace = null;
        foreach (var step in steps)
        {
            if (hasBytes) throw step.Unsupported("type", "ByteLevel last", step.Text("type") ?? "none");
            switch (step.Text("type"))
            {
                case "Split": splits.Add(Split(step)); break;
                case "Digits":
                    splits.Add(new SplitStep(PatternJson.Compile(step, @"\p{N}"),
                        step.Flag("individual_digits") ?? false ? SplitBehavior.Isolated : SplitBehavior.Contiguous));
                    break;
                case "Metaspace" when !isByteLevel && splits.Count == 0 && metaspace is null: // it changes the text, so nothing is cut before
                    metaspace = MetaspaceJson.Read(step);
                    if (step.Flag("split") ?? true)
                        splits.Add(new SplitStep(PatternJson.Compile(step, Regex.Escape(metaspace.Mark)), SplitBehavior.MergedWithNext));
                    break;
                case "ByteLevel" when isByteLevel:
                    (hasBytes, addPrefixSpace) = (true, step.Flag("add_prefix_space") ?? true);
                    if (!(step.Flag("use_regex") ?? true)) break;
                    if (addPrefixSpace) throw step.Unsupported("add_prefix_space", "false where use_regex is true", "true");
                    splits.Add(new SplitStep(PatternJson.Compile(step, PreTokenizer.Gpt2Pattern)));
                    break;
                case var other: throw step.Unsupported("type", isByteLevel ? "Split, Digits or ByteLevel" : "Metaspace, then Split or Digits", other ?? "none");
            }
        }
        if (isByteLevel && !hasBytes) throw top.Unsupported("type", "a ByteLevel step", "none");
        return new PreTokenizer(splits, addPrefixSpace) { Metaspace = metaspace };
    }

    private static SplitStep Split(JsonFields step)
    {
        var name = step.Text("behavior") ?? "none";
        if (char.IsAsciiDigit(name[0]) || !Enum.TryParse<SplitBehavior>(name, out var behavior))
            throw step.Unsupported("behavior", string.Join(", ", Enum.GetNames<SplitBehavior>()), name);
        return new SplitStep(PatternJson.Read(step), behavior, step.Flag("invert") ?? false);
    }
}

/// <summary>The <c>post_processor</c>: special tokens before and after a single text. ByteLevel there only trims offsets.</summary>
internal static class PostProcessorJson
{
    internal static (List<int> Prefix, List<int> Suffix) Read(JsonFields json)
    {
        var (prefix, suffix) = (new List<int>(), new List<int>());
        if (json.Object("post_processor") is not { } top) return (prefix, suffix);
        var steps = top.Text("type") == "Sequence" ? [.. (top.Array("processors") ?? []).Select(item => top.Child("processors", item))] : new[] { top };
        var templates = 0;
        foreach (var step in steps)
        {
            if (step.Text("type") == "ByteLevel") continue;
            if (step.Text("type") != "TemplateProcessing") throw step.Unsupported("type", "TemplateProcessing or ByteLevel", step.Text("type") ?? "none");
            if (templates++ > 0) throw step.Unsupported("type", "one TemplateProcessing", "two");
            ReadTemplate(step, prefix, suffix);
        }
        return (prefix, suffix);
    }

    private static void ReadTemplate(JsonFields step, List<int> prefix, List<int> suffix)
    {
        var hasText = false;
        foreach (var piece in (step.Array("single") ?? throw step.Defect("single", "a list", "none")).Select(item => step.Child("single", item)))
        {
            if (piece.Object("Sequence") is { } sequence)
            {
                if (hasText || sequence.Text("id") != "A") throw sequence.Defect("id", "A, once", sequence.Text("id") ?? "none");
                hasText = true;
                continue;
            }
            var special = piece.Object("SpecialToken") ?? throw piece.Defect("SpecialToken", "SpecialToken or Sequence", "neither");
            var name = special.Text("id") ?? throw special.Defect("id", "a token's name", "none");
            var token = step.Object("special_tokens")?.Object(name) ?? throw step.Defect("special_tokens", $"'{name}'", "none");
            var ids = token.Array("ids") ?? throw token.Defect("ids", "a list", "none");
            (hasText ? suffix : prefix).AddRange(ids.Select(id => token.WholeOf("ids", id)));
        }
        if (!hasText) throw step.Defect("single", "a Sequence", "none");
    }
}
