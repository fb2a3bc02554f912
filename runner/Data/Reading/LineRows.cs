namespace Halo.Runner.Data.Reading;

/// <summary>JSONL: an object a line; blank lines are passed over.</summary>
internal static class LineRows
{
    internal static IEnumerable<RawRow> Read(Stream stream, string path)
    {
        var window = new ByteWindow(stream);
        window.SkipMark();
        for (var (number, searched, isEnd) = (1L, 0, false); !isEnd;)
        {
            var length = window.Span[searched..].IndexOf((byte)'\n');
            if (length < 0)
            {
                searched = window.Span.Length;
                if (window.IsFull)
                    throw RowJson.Bad(new RowPlace(path, number), $"a line of at most {ByteWindow.MaxRowBytes >> 20} MiB", "a longer one", "Split the conversation.");
                if (window.More())
                    continue;
                (length, isEnd) = (0, true);
            }
            length += searched;
            var line = window.Memory(length);
            if (!line.Span.Trim(" \t\r"u8).IsEmpty)
                yield return new RawRow(new RowPlace(path, number), line);
            window.Skip(isEnd ? length : length + 1);
            (number, searched) = (number + 1, 0);
        }
    }
}
