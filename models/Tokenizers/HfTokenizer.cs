using System.Text;

namespace Halo.Models.Tokenizers;

/// <summary>A token and the UTF-16 index in the text of the first character it holds a byte of.</summary>
public readonly record struct Token(int Id, int Start);

/// <summary>A Hugging Face byte-level BPE tokenizer (GPT-2 to Llama 3 form) that gives the ids Hugging Face's own library gives.</summary>
/// <remarks>Immutable, so safe to share between threads.</remarks>
public sealed class HfTokenizer
{
    private readonly TokenizerJson _json;
    private readonly BytePairEncoder _encoder;
    private readonly AddedTokens _added;
    private readonly Dictionary<string, int> _ids;
    private readonly byte[]?[] _bytes;
    private readonly HashSet<int> _special, _marks;

    private HfTokenizer(string path, TokenizerJson json, TokenizerSettings settings)
    {
        _json = json;
        _encoder = new BytePairEncoder(json.Vocabulary, json.Merges, json.IgnoreMerges);
        _added = new AddedTokens(json.Added);
        (_special, _marks) = ([.. json.Added.Where(t => t.Special).Select(t => t.Id)], [.. json.Added.Select(t => t.Id)]);
        _ids = new Dictionary<string, int>(json.Vocabulary);
        foreach (var token in json.Added) _ids[token.Content] = token.Id;
        VocabularySize = _ids.Values.Max() + 1;
        _bytes = new byte[]?[VocabularySize];
        foreach (var (token, id) in _ids) _bytes[id] = ByteLevel.Bytes(token);
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
        var ids = Tokenize(text).Select(token => token.Id);
        return addSpecialTokens ? [.. _json.Prefix, .. ids, .. _json.Suffix] : [.. ids];
    }

    /// <summary>The tokens of a text with their places, nothing added.</summary>
    public IReadOnlyList<Token> Tokenize(string text)
    {
        var tokens = new List<Token>();
        foreach (var (added, start, length) in _added.Split(text))
        {
            if (added is not null) { tokens.Add(new Token(added.Id, start)); continue; }
            var part = text.Substring(start, length);
            foreach (var piece in _json.PreTokenizer.Split(part)) EncodePiece(part.AsSpan(piece.Start, piece.Length), start + piece.Start, tokens);
        }
        return tokens;
    }

    /// <summary>The bytes that an id stands for, which may be a part of a character; none where it has no token.</summary>
    public ReadOnlySpan<byte> BytesOf(int id) => (uint)id < (uint)_bytes.Length ? _bytes[id] : [];

    /// <summary>The text of ids; bytes that are no UTF-8 become U+FFFD, and ids without a token nothing, as in Hugging Face's library.</summary>
    public string Decode(ReadOnlySpan<int> ids, bool skipSpecialTokens)
    {
        var bytes = new List<byte>();
        foreach (var id in ids)
            if (!(skipSpecialTokens && _special.Contains(id))) bytes.AddRange(BytesOf(id));
        return Encoding.UTF8.GetString([.. bytes]);
    }

    private void EncodePiece(ReadOnlySpan<char> piece, int start, List<Token> tokens)
    {
        var symbols = new StringBuilder();
        var starts = new List<int>(); // per symbol
        if (_json.PreTokenizer.AddPrefixSpace && piece[0] != ' ') Append((byte)' ', start);
        Span<byte> utf8 = stackalloc byte[4];
        foreach (var rune in piece.EnumerateRunes())
        {
            foreach (var value in utf8[..rune.EncodeToUtf8(utf8)]) Append(value, start);
            start += rune.Utf16SequenceLength;
        }
        var whole = symbols.ToString();
        if (_encoder.Missing(whole) is { } missing)
        {
            throw new HaloException("tokenize", $"'{piece}'", "text whose bytes have tokens in this vocabulary", $"none for byte 0x{ByteLevel.Bytes(missing)[0]:X2}",
                "Hugging Face's library would drop it; remove the text, or use another tokenizer.");
        }
        foreach (var (id, symbol) in _encoder.Encode(whole)) tokens.Add(new Token(id, starts[symbol]));

        void Append(byte value, int at)
        {
            symbols.Append(ByteLevel.Char(value));
            starts.Add(at);
        }
    }

    private int? Special(string path, string? token) => token is null ? null : IdOf(token)
        ?? throw new HaloException("read-tokenizer", path, $"the special token '{token}' of tokenizer_config.json", "no such token",
            "Use the files of one model.");
}
