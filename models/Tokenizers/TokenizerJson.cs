using System.Text.Json;
using System.Text.RegularExpressions;
using Halo.Models.Json;

namespace Halo.Models.Tokenizers;

/// <summary>What a <c>tokenizer.json</c> asks for, in the forms the encoder takes.</summary>
/// <remarks>
/// Byte-level BPE only. Whatever else the file asks for is named in a <see cref="HaloException"/>: ids that differ slightly train a slightly wrong model.
/// </remarks>
internal sealed record TokenizerJson(
    IReadOnlyDictionary<string, int> Vocabulary, IReadOnlyList<string> Merges, bool IgnoreMerges,
    IReadOnlyList<AddedToken> Added, PreTokenizer PreTokenizer, IReadOnlyList<int> Prefix, IReadOnlyList<int> Suffix)
{
    internal static TokenizerJson Load(string path)
    {
        using var json = JsonFields.Open("read-tokenizer", path);
        foreach (var name in new[] { "truncation", "padding", "normalizer" })
            if (json.Field(name) is { } value) throw json.Defect(name, "null", Shortened(value));
        var model = json.Object("model") ?? throw json.Defect("model", "a BPE model", "none");
        CheckModel(model);
        var vocabulary = ReadVocabulary(model);
        var added = (json.Array("added_tokens") ?? []).Select(item => ReadAdded(json.Child("added_tokens", item))).ToList();
        var decoder = json.Object("decoder") ?? throw json.Defect("decoder", "ByteLevel", "none");
        if (decoder.Text("type") != "ByteLevel") throw decoder.Defect("type", "ByteLevel", decoder.Text("type") ?? "none");
        var (prefix, suffix) = PostProcessorJson.Read(json);
        return new TokenizerJson(vocabulary, ReadMerges(model, vocabulary), model.Flag("ignore_merges") ?? false, added, PreTokenizerJson.Read(json),
            prefix, suffix);
    }

    private static void CheckModel(JsonFields model)
    {
        if ((model.Text("type") ?? "BPE") is var type && type != "BPE") throw model.Defect("type", "BPE", type);
        if (model.Number("dropout") is { } dropout && dropout != 0) throw model.Defect("dropout", "null or 0", $"{dropout}");
        if (model.Flag("byte_fallback") ?? false) throw model.Defect("byte_fallback", "false", "true");
        foreach (var name in new[] { "continuing_subword_prefix", "end_of_word_suffix" })
            if (model.Text(name) is { Length: > 0 } affix) throw model.Defect(name, "null", affix);
    }

    private static Dictionary<string, int> ReadVocabulary(JsonFields model)
    {
        var vocabulary = new Dictionary<string, int>();
        var seen = new HashSet<int>();
        var fields = model.Object("vocab") ?? throw model.Defect("vocab", "an object of token ids", "none");
        foreach (var entry in fields.Properties)
        {
            vocabulary.Add(entry.Name, fields.WholeOf(entry.Name, entry.Value));
            if (!seen.Add(vocabulary[entry.Name])) throw model.Defect("vocab", "an id per token", $"'{entry.Name}' with another's");
        }
        foreach (var symbol in ByteLevel.Alphabet)
            if (!vocabulary.ContainsKey(symbol.ToString())) throw model.Defect("vocab", "a token for each of the 256 bytes", $"none for '{symbol}'");
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

    private static string Shortened(JsonElement value) => value.GetRawText() is { Length: > 60 } text ? text[..60] + "..." : value.GetRawText();
}

/// <summary>The <c>pre_tokenizer</c>: Split patterns, then ByteLevel.</summary>
internal static class PreTokenizerJson
{
    internal static PreTokenizer Read(JsonFields json)
    {
        var top = json.Object("pre_tokenizer") ?? throw json.Defect("pre_tokenizer", "Split and ByteLevel", "none");
        var steps = top.Text("type") == "Sequence" ? [.. (top.Array("pretokenizers") ?? []).Select(item => top.Child("pretokenizers", item))] : new[] { top };
        var (patterns, hasBytes, addPrefixSpace) = (new List<Regex>(), false, false);
        foreach (var step in steps)
        {
            if (hasBytes) throw step.Defect("type", "ByteLevel last", step.Text("type") ?? "none");
            switch (step.Text("type"))
            {
                case "Split": patterns.Add(Split(step)); break;
                case "ByteLevel":
                    (hasBytes, addPrefixSpace) = (true, step.Flag("add_prefix_space") ?? true);
                    if (!(step.Flag("use_regex") ?? true)) break;
                    if (addPrefixSpace) throw step.Defect("add_prefix_space", "false where use_regex is true", "true");
                    patterns.Add(Compile(step, PreTokenizer.Gpt2Pattern));
                    break;
                case var other: throw step.Defect("type", "Split or ByteLevel", other ?? "none");
            }
        }
        if (!hasBytes) throw top.Defect("type", "a ByteLevel step", "none");
        return new PreTokenizer(patterns, addPrefixSpace);
    }

    private static Regex Split(JsonFields step)
    {
        if (step.Text("behavior") is var behavior && behavior != "Isolated") throw step.Defect("behavior", "Isolated", behavior ?? "none");
        if (step.Flag("invert") ?? false) throw step.Defect("invert", "false", "true");
        var pattern = step.Object("pattern") ?? throw step.Defect("pattern", "a Regex or String", "none");
        return Compile(pattern, pattern.Text("Regex") ?? Regex.Escape(pattern.Text("String") ?? throw pattern.Defect("Regex", "a pattern", "none")));
    }

    private static Regex Compile(JsonFields where, string pattern)
    {
        if (pattern.Any(char.IsSurrogate)) throw where.Defect("Regex", "characters up to U+FFFF", pattern);
        try { return new Regex(pattern, RegexOptions.CultureInvariant | RegexOptions.Compiled); }
        catch (ArgumentException e) { throw where.Defect("Regex", "a pattern that .NET can match", pattern, e); }
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
            if (step.Text("type") != "TemplateProcessing") throw step.Defect("type", "TemplateProcessing or ByteLevel", step.Text("type") ?? "none");
            if (templates++ > 0) throw step.Defect("type", "one TemplateProcessing", "two");
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
