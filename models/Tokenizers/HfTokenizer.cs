using System.Security.Cryptography;
using System.Text;

namespace Halo.Models.Tokenizers;

/// <summary>A token and the UTF-16 index in the text of the first character it holds a byte of.</summary>
public readonly record struct Token(int Id, int Start);

/// <summary>
/// A Hugging Face BPE tokenizer, byte-level (GPT-2, Llama 3, Qwen) or of characters (Llama 2, Mistral, Phi-3), with the ids of Hugging Face's own library.
/// </summary>
/// <remarks>Safe to share between threads: what it remembers of pieces changes no ids.</remarks>
public sealed class HfTokenizer
{
    private readonly TokenizerJson _json;
    private readonly BytePairEncoder? _encoder; // of bytes
    private readonly CharacterEncoder? _characters;
    private readonly Lazy<string> _sha256;
    private readonly PieceCache _pieces = new();
    private readonly AddedTokens _added;
    private readonly Dictionary<string, int> _ids;
    private readonly byte[]?[] _bytes;
    private readonly string?[] _texts;
    private readonly HashSet<int> _special, _marks;

    private HfTokenizer(string path, TokenizerJson json, TokenizerSettings settings)
    {
        _json = json;
        _sha256 = new Lazy<string>(() => DigestOf(path));
        if (json.Decoding.IsByteLevel) _encoder = new BytePairEncoder(json.Vocabulary, json.Merges, json.IgnoreMerges);
        else _characters = new CharacterEncoder(json);
        _added = new AddedTokens(json.Added, content => Normalized(new MappedText(content, 0)).Text);
        (_special, _marks) = ([.. json.Added.Where(t => t.Special).Select(t => t.Id)], [.. json.Added.Select(t => t.Id)]);
        _ids = new Dictionary<string, int>(json.Vocabulary);
        foreach (var token in json.Added) _ids[token.Content] = token.Id;
        VocabularySize = _ids.Values.Max() + 1;
        (_bytes, _texts) = (new byte[]?[VocabularySize], new string?[VocabularySize]);
        foreach (var (token, id) in _ids) (_bytes[id], _texts[id]) = (json.Decoding.Bytes(token), token);
        (ChatTemplate, BosToken, EosToken, PadToken) = (settings.ChatTemplate, settings.Bos, settings.Eos, settings.Pad);
        (BosId, EosId, PadId) = (Special(path, BosToken), Special(path, EosToken), Special(path, PadToken));
    }

    /// <summary>One more than the largest id.</summary>
    public int VocabularySize { get; }

    /// <summary>The Jinja template of the folder, or null.</summary>
    public string? ChatTemplate { get; }

    /// <summary>What the files ask for and is passed over, a sentence each.</summary>
    public IReadOnlyList<string> Notes => _json.Notes;

    public string? BosToken { get; }
    public string? EosToken { get; }
    public string? PadToken { get; }
    public int? BosId { get; }
    public int? EosId { get; }
    public int? PadId { get; }

    /// <summary>
    /// Reads <c>tokenizer.json</c>, and beside it <c>tokenizer_config.json</c>, <c>special_tokens_map.json</c> and <c>chat_template.jinja</c> where they exist.
    /// </summary>
    /// <exception cref="HaloException">Missing, damaged, or asking for what is not supported, which the message names.</exception>
    public static HfTokenizer Load(string folderOrFile)
    {
        var path = Directory.Exists(folderOrFile) ? Path.Combine(folderOrFile, "tokenizer.json") : folderOrFile;
        return new HfTokenizer(path, TokenizerJson.Load(path), TokenizerSettings.Load(Path.GetDirectoryName(Path.GetFullPath(path))!));
    }

    /// <summary>A digest of the files that it was read from: equal ones give equal ids and templates.</summary>
    public string Sha256 => _sha256.Value;

    private static string DigestOf(string path)
    {
        var folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        string[] files = [path, .. TokenizerSettings.Names.Select(name => Path.Combine(folder, name)).Where(File.Exists)];
        return Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(string.Concat(
            files.Select(file => $"{Path.GetFileName(file)} {Convert.ToHexStringLower(SHA256.HashData(File.ReadAllBytes(file)))}\n")))));
    }

    public int? IdOf(string token) => _ids.TryGetValue(token, out var id) ? id : null;

    /// <summary>Whether the id is a special token's, which <see cref="Decode"/> can skip.</summary>
    public bool IsSpecial(int id) => _special.Contains(id);

    /// <summary>Whether the id is one of <c>added_tokens</c>, special or not: a mark, and no text that was learned in pieces.</summary>
    public bool IsAdded(int id) => _marks.Contains(id);

    /// <summary>The ids of a text. Special tokens spelled out in the text become their ids, as in Hugging Face's library.</summary>
    /// <param name="text">Lone surrogates count as U+FFFD.</param>
    /// <param name="addSpecialTokens">Whether to add what the file's post-processor adds: for Llama 3, the BOS token.</param>
    /// <exception cref="HaloException">A byte of the text has no token, or a pattern takes too long for it.</exception>
    public int[] Encode(string text, bool addSpecialTokens)
    {
        var tokens = Tokenize(text);
        var (before, behind) = addSpecialTokens ? (_json.Prefix, _json.Suffix) : ([], []);
        var ids = new int[before.Count + tokens.Count + behind.Count];
        for (var i = 0; i < before.Count; i++) ids[i] = before[i];
        for (var i = 0; i < tokens.Count; i++) ids[before.Count + i] = tokens[i].Id;
        for (var i = 0; i < behind.Count; i++) ids[^(behind.Count - i)] = behind[i];
        return ids;
    }

    /// <summary>The tokens of a text with their places, nothing added.</summary>
    public IReadOnlyList<Token> Tokenize(string text)
    {
        var tokens = new List<Token>(text.Length / 4);
        foreach (var (plain, at, size) in _added.SplitPlain(text))
        {
            if (plain is not null) { tokens.Add(new Token(plain.Id, at)); continue; }
            var normalized = Normalized(new MappedText(size == text.Length ? text : text.Substring(at, size), at));
            foreach (var (added, start, length) in _added.SplitNormalized(normalized.Text))
            {
                if (added is not null) tokens.Add(new Token(added.Id, normalized.StartOf(start)));
                else EncodePart(length == normalized.Text.Length ? normalized : normalized.Slice(start, length), tokens);
            }
        }
        return tokens;
    }

    private MappedText Normalized(MappedText text) => _json.Normalizer.Aggregate(text, (t, step) => step(t));

    private void EncodePart(MappedText part, List<Token> tokens)
    {
        if (_json.PreTokenizer.Metaspace is { } metaspace) part = metaspace.Apply(part);
        foreach (var piece in _json.PreTokenizer.Split(part.Text))
        {
            if (_characters is not null) { _characters.Encode(part.Slice(piece.Start, piece.Length), tokens); continue; }
            var text = part.Text.AsSpan(piece.Start, piece.Length);
            var known = _pieces.Find(text);
            if (known is null && (known = _encoder!.EncodeShort(text, _json.PreTokenizer.AddPrefixSpace)) is not null) _pieces.Add(text, known);
            if (known is null) EncodePiece(text, piece.Start, part, tokens);
            else
            {
                foreach (var token in known) tokens.Add(new Token(token.Id, part.StartOf(piece.Start + token.Start)));
            }
        }
    }

    /// <summary>The bytes that an id stands for, which may be a part of a character; none where it has no token.</summary>
    public ReadOnlySpan<byte> BytesOf(int id) => (uint)id < (uint)_bytes.Length ? _bytes[id] : [];

    /// <summary>The text of ids; bytes that are no UTF-8 become U+FFFD, and ids without a token nothing, as in Hugging Face's library.</summary>
    public string Decode(ReadOnlySpan<int> ids, bool skipSpecialTokens)
    {
        var (texts, text) = (Texts(), new StringBuilder());
        foreach (var id in ids)
            if (!(skipSpecialTokens && _special.Contains(id)) && TextOf(id) is { } token) text.Append(texts.Add(token, BytesOf(id)));
        return text.Append(texts.End()).ToString();
    }

    /// <summary>What decodes tokens one after the other.</summary>
    internal TokenTexts Texts() => new(_json.Decoding);

    /// <summary>The token of an id as the vocabulary writes it; null where it has none.</summary>
    internal string? TextOf(int id) => (uint)id < (uint)_texts.Length ? _texts[id] : null;

    private void EncodePiece(ReadOnlySpan<char> piece, int at, MappedText part, List<Token> tokens)
    {
        var symbols = new StringBuilder();
        var starts = new List<int>(); // per symbol
        if (_json.PreTokenizer.AddPrefixSpace && piece[0] != ' ') Append((byte)' ', part.StartOf(at));
        Span<byte> utf8 = stackalloc byte[4];
        foreach (var rune in piece.EnumerateRunes())
        {
            foreach (var value in utf8[..rune.EncodeToUtf8(utf8)]) Append(value, part.StartOf(at));
            at += rune.Utf16SequenceLength;
        }
        var whole = symbols.ToString();
        if (_encoder!.Missing(whole) is { } missing)
        {
            throw new HaloException("tokenize", $"'{piece}'", "text whose bytes have tokens in this vocabulary", $"none for byte 0x{ByteLevel.Bytes(missing)[0]:X2}",
                "Hugging Face's library would drop it; remove the text, or use another tokenizer.");
        }
        foreach (var (id, symbol) in _encoder.Encode(whole)) tokens.Add(new Token(id, starts[symbol]));

        void Append(byte value, int start)
        {
            symbols.Append(ByteLevel.Char(value));
            starts.Add(start);
        }
    }

    private int? Special(string path, string? token) => token is null ? null : IdOf(token)
        ?? throw new HaloException("read-tokenizer", path, $"the special token '{token}' of tokenizer_config.json", "no such token",
            "Use the files of one model.");
}
