using System.Globalization;
using System.Text;

namespace Halo.Models.Chat.Jinja;

internal enum JinjaTokenKind { Text, ExpressionStart, ExpressionEnd, StatementStart, StatementEnd, Name, String, Integer, Float, Operator, End }

internal readonly record struct JinjaToken(JinjaTokenKind Kind, string Text, int Line);

/// <summary>Cuts a template into text and tokens, with <c>trim_blocks</c> and <c>lstrip_blocks</c> as Transformers sets them.</summary>
/// <remarks>
/// trim_blocks: the newline right after a statement or comment is dropped. lstrip_blocks: blanks from the line's start to a statement or comment are dropped.
/// A minus at either end of a tag drops all white space on that side, a plus keeps it. One newline at the template's end is dropped.
/// [Jinja, Whitespace Control]
/// </remarks>
internal sealed class JinjaLexer
{
    private static readonly string[] Operators = ["**", "//", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "<", ">", "=", "(", ")", "[", "]", "{", "}",
        ",", ":", ".", "|"];

    /// <summary>More in one tag is no chat template; evaluating a chain of them would end the process.</summary>
    private const int MaxTokensInTag = 1000;

    /// <summary>Characters. Real templates have up to 20 000.</summary>
    private const int MaxLength = 1 << 20;
    private readonly string _source;
    private readonly List<JinjaToken> _tokens = [];
    private int _at, _line = 1;

    private JinjaLexer(string source) => _source = source;

    internal static List<JinjaToken> Cut(string template)
    {
        if (template.Length > MaxLength) throw JinjaError.At(1, $"a template of at most {MaxLength} characters", $"{template.Length}");
        var source = template.Replace("\r\n", "\n", StringComparison.Ordinal).Replace('\r', '\n');
        var lexer = new JinjaLexer(source.EndsWith('\n') ? source[..^1] : source);
        lexer.Run();
        return lexer._tokens;
    }

    private void Run()
    {
        var (stripLeft, dropNewline) = (false, false); // what the tag before asks of the text
        while (true)
        {
            var tag = NextTag();
            var text = _source[_at..tag];
            Add(JinjaTokenKind.Text, Stripped(text, tag, stripLeft, dropNewline));
            Advance(tag);
            if (tag == _source.Length) break;
            var kind = _source[tag + 1];
            var isMarked = tag + 2 < _source.Length && _source[tag + 2] is '-' or '+';
            Advance(tag + (isMarked ? 3 : 2));
            (stripLeft, dropNewline) = kind switch
            {
                '#' => Comment(),
                '%' => Tag("%}", JinjaTokenKind.StatementStart, JinjaTokenKind.StatementEnd),
                _ => (Tag("}}", JinjaTokenKind.ExpressionStart, JinjaTokenKind.ExpressionEnd).StripLeft, false),
            };
        }
        Add(JinjaTokenKind.End, "end of template");
    }

    private int NextTag()
    {
        for (var i = _source.IndexOf('{', _at); i >= 0 && i + 1 < _source.Length; i = _source.IndexOf('{', i + 1))
            if (_source[i + 1] is '{' or '%' or '#') return i;
        return _source.Length;
    }

    private string Stripped(string text, int tag, bool stripLeft, bool dropNewline)
    {
        if (stripLeft) text = text.TrimStart(PythonText.Whitespace);
        else if (dropNewline && text.StartsWith('\n')) text = text[1..];
        if (tag + 2 >= _source.Length || tag == _source.Length) return text;
        if (_source[tag + 2] == '-') return text.TrimEnd(PythonText.Whitespace);
        if (_source[tag + 1] == '{' || _source[tag + 2] == '+') return text;
        var lineStart = text.LastIndexOf('\n') + 1;
        // Only blanks since the line's start, which must lie in this text or be where the tag before ended with its newline.
        var isWholeLine = lineStart > 0 || tag == text.Length || _source[tag - text.Length - 1] == '\n';
        return isWholeLine && text.AsSpan(lineStart).Trim(" \t").IsEmpty ? text[..lineStart] : text;
    }

    private (bool StripLeft, bool DropNewline) Comment()
    {
        var end = _source.IndexOf("#}", _at, StringComparison.Ordinal);
        if (end < 0) throw JinjaError.At(_line, "'#}'", "the end of the template");
        var mark = end > _at ? _source[end - 1] : ' ';
        Advance(end + 2);
        return (mark == '-', mark != '+');
    }

    private (bool StripLeft, bool DropNewline) Tag(string close, JinjaTokenKind start, JinjaTokenKind end)
    {
        Add(start, "");
        var (depth, first) = (0, _tokens.Count);
        while (true)
        {
            while (_at < _source.Length && char.IsWhiteSpace(_source[_at])) Advance(_at + 1);
            if (_at >= _source.Length) throw JinjaError.At(_line, $"'{close}'", "the end of the template");
            var mark = _source[_at] is '-' or '+' && At(close, _at + 1) ? _source[_at] : ' ';
            if (mark != ' ' || (depth == 0 && At(close, _at)))
            {
                Advance(_at + close.Length + (mark == ' ' ? 0 : 1));
                Add(end, close);
                return (mark == '-', mark != '+');
            }
            depth += _source[_at] switch { '{' or '(' or '[' => 1, '}' or ')' or ']' => -1, _ => 0 };
            One();
            if (_tokens.Count - first > MaxTokensInTag) throw JinjaError.At(_line, $"at most {MaxTokensInTag} tokens in a tag", "more");
        }
    }

    private void One()
    {
        var c = _source[_at];
        var start = _at;
        if (c is '\'' or '"') { Quoted(c); return; }
        if (char.IsLetter(c) || c == '_')
        {
            while (_at < _source.Length && (char.IsLetterOrDigit(_source[_at]) || _source[_at] == '_')) _at++;
            Add(JinjaTokenKind.Name, _source[start.._at]);
        }
        else if (char.IsAsciiDigit(c))
        {
            while (_at < _source.Length && char.IsAsciiDigit(_source[_at])) _at++;
            var isFloat = _at + 1 < _source.Length && _source[_at] == '.' && char.IsAsciiDigit(_source[_at + 1]);
            if (isFloat) for (_at++; _at < _source.Length && char.IsAsciiDigit(_source[_at]);) _at++;
            Add(isFloat ? JinjaTokenKind.Float : JinjaTokenKind.Integer, _source[start.._at]);
        }
        else
        {
            var word = Array.Find(Operators, o => At(o, _at)) ?? throw JinjaError.At(_line, "an operator", $"'{c}'");
            _at += word.Length;
            Add(JinjaTokenKind.Operator, word);
        }
    }

    private void Quoted(char quote)
    {
        var (text, line) = (new StringBuilder(), _line);
        for (_at++; _at < _source.Length && _source[_at] != quote; _at++)
        {
            if (_source[_at] == '\n') _line++;
            if (_source[_at] != '\\' || _at + 1 >= _source.Length) { text.Append(_source[_at]); continue; }
            var escape = _source[++_at];
            var digits = escape switch { 'x' => 2, 'u' => 4, _ => 0 };
            if (digits == 0) text.Append(escape switch { 'n' => "\n", 't' => "\t", 'r' => "\r", '\\' => "\\", '\'' => "'", '"' => "\"", _ => $"\\{escape}" });
            else if (_at + digits < _source.Length && ushort.TryParse(_source.AsSpan(_at + 1, digits), NumberStyles.AllowHexSpecifier, null, out var code))
            {
                text.Append((char)code);
                _at += digits;
            }
            else throw JinjaError.At(_line, $"{digits} hexadecimal digits", $"'\\{escape}'");
        }
        if (_at >= _source.Length) throw JinjaError.At(line, $"a closing {quote}", "the end of the template");
        _at++;
        _tokens.Add(new JinjaToken(JinjaTokenKind.String, text.ToString(), line));
    }

    private bool At(string word, int index) => string.CompareOrdinal(_source, index, word, 0, word.Length) == 0;

    private void Advance(int to)
    {
        _line += _source.AsSpan(_at, to - _at).Count('\n');
        _at = to;
    }

    private void Add(JinjaTokenKind kind, string text)
    {
        if (kind != JinjaTokenKind.Text || text.Length > 0) _tokens.Add(new JinjaToken(kind, text, _line));
    }
}
