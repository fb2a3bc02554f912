using System.Buffers;

namespace Halo.Runner.Data.Reading;

/// <summary>A text file: one document, in parts of a size that is encoded at once.</summary>
/// <remarks>A part ends behind a line, where the next one begins with no space: tokenizers cut there in any case.</remarks>
internal static class TextRows
{
    /// <summary>Parts have at least so much.</summary>
    internal const int PartBytes = 1 << 20;

    private static readonly SearchValues<byte> Space = SearchValues.Create(" \t\r\n"u8);

    internal static IEnumerable<RawRow> Read(Stream stream, string path)
    {
        var window = new ByteWindow(stream);
        window.SkipMark();
        for (var (line, isFirst) = (1L, true); ; isFirst = false)
        {
            while (window.Span.Length <= PartBytes && window.More()) { }
            int length;
            while ((length = End(window.Span)) < 0 && !window.IsFull && window.More()) { }
            if (length < 0 && window.IsFull)
                throw RowJson.Bad(new RowPlace(path, line), $"a line of at most {ByteWindow.MaxRowBytes >> 20} MiB", "a longer one", "Break the text into lines.");
            var isLast = length < 0;
            if (isLast)
                length = window.Span.Length;
            if (length > 0)
                yield return new RawRow(new RowPlace(path, line), window.Memory(length), new TextPart(isFirst, isLast));
            if (isLast)
                yield break;
            line += window.Span[..length].Count((byte)'\n');
            window.Skip(length);
        }
    }

    /// <summary>Where a part ends; -1 where it goes on as far as there is text.</summary>
    private static int End(ReadOnlySpan<byte> text)
    {
        for (var at = PartBytes; at < text.Length;)
        {
            var end = text[at..].IndexOf((byte)'\n');
            if (end < 0)
                return -1;
            at += end + 1;
            if (at < text.Length && !Space.Contains(text[at]))
                return at;
        }
        return -1;
    }
}
