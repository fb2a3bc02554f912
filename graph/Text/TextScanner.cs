using System.Globalization;
using System.Text;

namespace Halo.Text;

/// <summary>Reads the words of the text form one after another and knows the line it stands on.</summary>
internal sealed class TextScanner(string text)
{
    private int _at;

    public bool AtEnd
    {
        get
        {
            SkipSpace();
            return _at >= text.Length;
        }
    }

    /// <summary>The next character that is neither space nor comment; zero at the end.</summary>
    public char Peek()
    {
        SkipSpace();
        return _at < text.Length ? text[_at] : '\0';
    }

    public bool IsNext(string word)
    {
        SkipSpace();
        return string.CompareOrdinal(text, _at, word, 0, word.Length) == 0
            && !(Names.IsPart(word[^1]) && _at + word.Length < text.Length && Names.IsPart(text[_at + word.Length]));
    }

    public bool TryTake(string word)
    {
        if (!IsNext(word))
            return false;
        _at += word.Length;
        return true;
    }

    public void Take(string word)
    {
        if (!TryTake(word))
            throw Error($"'{word}'");
    }

    /// <summary>A bare or quoted name.</summary>
    public string Name()
    {
        if (Peek() == '"')
            return String();
        var start = _at;
        while (_at < text.Length && (Names.IsPart(text[_at]) || IsDoubleColon()))
            _at += text[_at] == ':' ? 2 : 1;
        return _at > start ? text[start.._at] : throw Error("a name");
    }

    public string String()
    {
        if (Peek() != '"')
            throw Error("a quoted string");
        var result = new StringBuilder();
        for (_at++; _at < text.Length && text[_at] != '"'; _at++)
        {
            if (text[_at] != '\\' || _at + 1 >= text.Length)
            {
                result.Append(text[_at]);
                continue;
            }
            _at++;
            if (text[_at] == 'u' && _at + 4 < text.Length && ushort.TryParse(text.AsSpan(_at + 1, 4), NumberStyles.HexNumber, null, out var code))
            {
                result.Append((char)code);
                _at += 4;
                continue;
            }
            result.Append(text[_at] switch { 'n' => '\n', 't' => '\t', 'r' => '\r', var c => c });
        }
        if (_at >= text.Length)
            throw Error("a closing quote");
        _at++;
        return result.ToString();
    }

    /// <summary>A number, or <c>nan</c>, <c>inf</c>, <c>true</c>: everything up to a space or punctuation.</summary>
    public string Literal()
    {
        SkipSpace();
        var start = _at;
        while (_at < text.Length && (char.IsAsciiLetterOrDigit(text[_at]) || text[_at] is '-' or '+' or '.'))
            _at++;
        return _at > start ? text[start.._at] : throw Error("a number");
    }

    public long Integer()
    {
        var start = _at;
        var literal = Literal();
        if (long.TryParse(literal, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var value))
            return value;
        _at = start;
        throw Error("an integer");
    }

    /// <summary>True if <paramref name="c"/> comes next on the same line, with only blanks before it.</summary>
    public bool IsNextOnLine(char c)
    {
        SkipBlank();
        return _at < text.Length && text[_at] == c;
    }

    /// <summary>What stands behind <c>#</c> on the same line; null if nothing does.</summary>
    public string? Comment()
    {
        if (!IsNextOnLine('#'))
            return null;
        _at++;
        SkipBlank();
        if (_at < text.Length && text[_at] == '"')
            return String();
        var end = text.IndexOf('\n', _at);
        var start = _at;
        _at = end < 0 ? text.Length : end;
        return text[start.._at].Trim();
    }

    public HaloException Error(string expected)
    {
        SkipSpace();
        var line = 1 + text.AsSpan(0, _at).Count('\n');
        var end = text.IndexOf('\n', _at);
        var rest = text[_at..Math.Min(end < 0 ? text.Length : end, _at + 40)];
        return new HaloException("parse-graph", $"line {line}", expected, rest.Length > 0 ? $"'{rest}'" : "the end of the line", "Correct the text there.");
    }

    private bool IsDoubleColon() => text[_at] == ':' && _at + 2 < text.Length && text[_at + 1] == ':' && Names.IsPart(text[_at + 2]);

    private void SkipBlank()
    {
        while (_at < text.Length && text[_at] is ' ' or '\t')
            _at++;
    }

    private void SkipSpace()
    {
        while (_at < text.Length && (char.IsWhiteSpace(text[_at]) || text[_at] == '#'))
        {
            if (text[_at] == '#')
                _at = text.IndexOf('\n', _at) is var end and >= 0 ? end : text.Length;
            else
                _at++;
        }
    }
}
