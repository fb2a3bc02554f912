using System.Buffers;

namespace Halo.Runner.Data.Reading;

/// <summary>One JSON array of objects, an item at a time; where an item ends is found without reading it.</summary>
internal sealed class ArrayRows
{
    private static readonly SearchValues<byte> Marks = SearchValues.Create("\"{}[],\n"u8), InText = SearchValues.Create("\"\\\n"u8);

    private readonly ByteWindow _window;
    private readonly string _path;
    private long _line = 1;

    private ArrayRows(Stream stream, string path) => (_window, _path) = (new ByteWindow(stream), path);

    internal static IEnumerable<RawRow> Read(Stream stream, string path)
    {
        var rows = new ArrayRows(stream, path);
        rows._window.SkipMark();
        rows.Take('[');
        for (var isFirst = true; ; isFirst = false)
        {
            var next = rows.Next();
            if (next == ']' && isFirst)
                break;
            var (line, length) = (rows._line, rows.FindEnd());
            yield return new RawRow(new RowPlace(path, line), rows._window.Memory(length));
            rows._window.Skip(length);
            if (rows.Next() == ']')
                break;
            rows.Take(',');
        }
        rows.Take(']');
        if (rows.Next() is { } rest)
            throw rows.Bad("nothing behind the array", $"'{rest}'", "Write one array, or an object a line.");
    }

    /// <summary>The next character that is no space, not taken; null at the end.</summary>
    private char? Next()
    {
        while (true)
        {
            var span = _window.Span;
            var at = span.IndexOfAnyExcept(" \t\r\n"u8);
            _line += span[..(at < 0 ? span.Length : at)].Count((byte)'\n');
            _window.Skip(at < 0 ? span.Length : at);
            if (at >= 0)
                return (char)_window.Span[0];
            if (!_window.More())
                return null;
        }
    }

    private void Take(char expected)
    {
        if (Next() is var found && found != expected)
        {
            throw Bad($"'{expected}' of one array of objects", found is null ? "the end of the file" : $"'{found}'",
                found is null ? "Complete the file: it was cut." : "Correct the array.");
        }
        _window.Skip(1);
    }

    /// <summary>The length of the item that begins here: up to a comma or the closing bracket that is not within it.</summary>
    private int FindEnd()
    {
        var (at, depth, isText) = (0, 0, false);
        while (true)
        {
            var span = _window.Span;
            var step = at >= span.Length ? -1 : span[at..].IndexOfAny(isText ? InText : Marks);
            if (step < 0)
            {
                at = Math.Max(at, span.Length);
                if (_window.IsFull)
                    throw Bad($"an item of at most {ByteWindow.MaxRowBytes >> 20} MiB", "a longer one", "Split the conversation.");
                if (!_window.More())
                    throw Bad("']' of one array of objects", "the end of the file", "Complete the file: it was cut.");
                continue;
            }
            at += step;
            var mark = span[at];
            if (mark == '\n')
                _line++;
            else if (mark == '\\')
                at++; // and what follows is none
            else if (mark == '"')
                isText = !isText;
            else if (depth == 0 && mark is (byte)',' or (byte)']' or (byte)'}')
                return at;
            else if (mark is (byte)'{' or (byte)'[')
                depth++;
            else if (mark is (byte)'}' or (byte)']' && --depth == 0)
                return at + 1;
            at++;
        }
    }

    private HaloException Bad(string expected, string found, string advice) => RowJson.Bad(new RowPlace(_path, _line), expected, found, advice);
}
