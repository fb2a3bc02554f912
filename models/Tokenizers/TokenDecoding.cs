using System.Globalization;
using System.Text;
using Halo.Models.Json;

namespace Halo.Models.Tokenizers;

/// <summary>The <c>decoder</c>: how tokens become text.</summary>
/// <param name="IsByteLevel">Tokens are bytes, in <see cref="ByteLevel"/>'s alphabet; else they are text.</param>
/// <param name="Mark">What stands for a space in tokens that are text; null: nothing does.</param>
/// <param name="HasByteFallback">Tokens such as &lt;0x0A&gt; are bytes.</param>
/// <param name="Stripped">Spaces at the start of a text that are taken away.</param>
/// <param name="IsFirstUnmarked">Marks of the first token give nothing.</param>
internal sealed record TokenDecoding(bool IsByteLevel, string? Mark = null, bool HasByteFallback = false, int Stripped = 0, bool IsFirstUnmarked = false)
{
    internal static TokenDecoding Read(JsonFields json)
    {
        var top = json.Object("decoder") ?? throw json.Defect("decoder", "ByteLevel, Metaspace or a Sequence", "none");
        var steps = top.Text("type") == "Sequence" ? [.. (top.Array("decoders") ?? []).Select(item => top.Child("decoders", item))] : new[] { top };
        if (steps is [var only] && only.Text("type") == "ByteLevel")
            return new TokenDecoding(true);
        var (found, isFused) = (new TokenDecoding(false), false);
        foreach (var step in steps)
        {
            var type = step.Text("type") ?? "none";
            found = (type, isFused) switch
            {
                ("Replace", false) when found == new TokenDecoding(false) && step.Text("content") == " " =>
                    found with { Mark = step.Object("pattern")?.Text("String") ?? throw step.Unsupported("pattern", "a String", "another") },
                ("Metaspace", false) when found == new TokenDecoding(false) => found with
                {
                    Mark = step.Text("replacement") ?? MetaspaceJson.Mark,
                    IsFirstUnmarked = MetaspaceJson.Scheme(step) != PrependScheme.Never,
                },
                ("ByteFallback", false) => found with { HasByteFallback = true },
                ("Fuse", _) => found,
                ("Strip", true) when step.Text("content") == " " && (step.Whole("stop") ?? 0) == 0 => found with { Stripped = step.Whole("start") ?? 0 },
                _ => throw step.Unsupported("type", "ByteLevel, Metaspace, or Replace, ByteFallback, Fuse and Strip of spaces at the start", type),
            };
            isFused |= type == "Fuse";
        }
        return found;
    }

    /// <summary>The byte of a token such as &lt;0x0A&gt;; null where it is none.</summary>
    public static byte? ByteOf(string token) => token.Length == 6 && token.StartsWith("<0x", StringComparison.Ordinal) && token[5] == '>'
        && byte.TryParse(token.AsSpan(3, 2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var value) ? value : null;

    public static string OfByte(byte value) => $"<0x{value:X2}>";

    /// <summary>The UTF-8, or the byte, that a token stands for where it is not the first.</summary>
    public byte[] Bytes(string token) => IsByteLevel ? ByteLevel.Bytes(token)
        : HasByteFallback && ByteOf(token) is { } value ? [value]
        : Encoding.UTF8.GetBytes(Mark is null ? token : token.Replace(Mark, " ", StringComparison.Ordinal));
}

/// <summary>The text of tokens one after the other; all of it together is that of all tokens.</summary>
/// <remarks>
/// Bytes of a byte-level vocabulary give text when a character is whole. Bytes that others fall back to give theirs when another token comes: a run of
/// them that is no UTF-8 becomes U+FFFD for each byte, as in Hugging Face's library. Spaces at the start are taken away as they come.
/// </remarks>
internal sealed class TokenTexts(TokenDecoding decoding)
{
    private static readonly UTF8Encoding Strict = new(false, throwOnInvalidBytes: true);

    private readonly Decoder _utf8 = Encoding.UTF8.GetDecoder();
    private readonly List<byte> _run = [];
    private int _strip = decoding.Stripped;
    private bool _isFirst = true;

    /// <param name="token">As the vocabulary writes it.</param>
    /// <param name="bytes"><see cref="TokenDecoding.Bytes"/> of it.</param>
    public string Add(string token, ReadOnlySpan<byte> bytes)
    {
        if (decoding.IsByteLevel)
            return Characters(bytes, flush: false);
        var isFirst = _isFirst;
        _isFirst = false;
        if (decoding.HasByteFallback && TokenDecoding.ByteOf(token) is { } value)
        {
            _run.Add(value);
            return "";
        }
        var text = isFirst && decoding is { IsFirstUnmarked: true, Mark: { } mark } ? token.Replace(mark, "", StringComparison.Ordinal)
            : Encoding.UTF8.GetString(bytes);
        return Stripped(Run() + text);
    }

    /// <summary>What is left.</summary>
    public string End() => decoding.IsByteLevel ? Characters([], flush: true) : Stripped(Run());

    private string Run()
    {
        if (_run.Count == 0)
            return "";
        byte[] bytes = [.. _run];
        _run.Clear();
        try { return Strict.GetString(bytes); }
        catch (DecoderFallbackException) { return new string('\uFFFD', bytes.Length); }
    }

    private string Stripped(string text)
    {
        var count = 0;
        while (count < text.Length && _strip > 0 && text[count] == ' ') (count, _strip) = (count + 1, _strip - 1);
        if (count < text.Length) _strip = 0;
        return text[count..];
    }

    private string Characters(ReadOnlySpan<byte> bytes, bool flush)
    {
        var text = new char[_utf8.GetCharCount(bytes, flush)];
        return new string(text, 0, _utf8.GetChars(bytes, text, flush));
    }
}
