using Halo.Io;
using Halo.Runner.Data.Forms;
using Halo.Runner.Data.Reading;

namespace Halo.Runner.Data;

/// <summary>Reads the rows of one file: JSONL, a JSON array, Parquet or text, each also as gzip or Zstandard.</summary>
/// <remarks>What a file is follows from its bytes, but for text, whose name ends in .txt; its form from its first row, and every row has to be of it.</remarks>
/// <param name="path">The file.</param>
/// <param name="format">The form of its rows; auto: that of the first.</param>
internal sealed class DataFileReader(string path, DataFormat format = DataFormat.Auto)
{
    private RowForm? _form;
    private IReadOnlyList<string> _passedOver = [];

    /// <summary>The conversations and texts of a file.</summary>
    /// <exception cref="HaloException">The file cannot be read or is empty, or a row is not right; file, row and field are named.</exception>
    public static IEnumerable<DataRow> Read(string path, DataFormat format = DataFormat.Auto)
    {
        var reader = new DataFileReader(path, format);
        return reader.Raw().Select(reader.Row);
    }

    public string Path => path;

    /// <summary>The form of the rows, for the log; known from the first on.</summary>
    public string Form => _form is null ? "text" : _form.Name;

    /// <summary>Fields of the first row that nothing reads.</summary>
    public IReadOnlyList<string> PassedOver => _passedOver;

    /// <summary>The rows as they stand in the file. The first one is looked at for its form.</summary>
    /// <exception cref="HaloException">The file cannot be read, or is empty.</exception>
    public IEnumerable<RawRow> Raw()
    {
        var rows = 0;
        var start = Start();
        using var stream = DataStream.Open(path);
        foreach (var row in Open(stream, start))
        {
            if (rows++ == 0 && row.Part is null)
                TakeForm(row);
            yield return row;
        }
        if (rows == 0)
            throw new HaloException(DataStream.Reader, path, "at least one row", "an empty file", "Give a JSONL file with one conversation a line.");
    }

    /// <summary>What a row says.</summary>
    /// <exception cref="HaloException">It is not right.</exception>
    public DataRow Row(RawRow raw)
    {
        if (raw.Part is not var (isFirst, isLast))
            return RowJson.Parse(raw, _form!.Row);
        if (!System.Text.Unicode.Utf8.IsValid(raw.Bytes.Span))
            throw RowJson.Bad(raw.Place, "UTF-8 text", "bytes that are not UTF-8", "Save the file as UTF-8.");
        return new DataRow(raw.Place, null, new RunningText(System.Text.Encoding.UTF8.GetString(raw.Bytes.Span), isFirst, isLast));
    }

    private IEnumerable<RawRow> Open(Stream stream, byte[] start)
    {
        if (DataStream.NameInside(path).EndsWith(".txt", StringComparison.OrdinalIgnoreCase))
        {
            return format is DataFormat.Auto or DataFormat.Text ? TextRows.Read(stream, path)
                : throw new HaloException(DataStream.Reader, path, "JSON objects, as data_format says", "a file of text", "Leave data_format out, or rename the file.");
        }
        if (start.AsSpan().StartsWith("PAR1"u8))
            return ParquetRows.Read(stream, path);
        if (FileContent.Other(start) is var (found, advice))
            throw new HaloException(DataStream.Reader, path, "JSONL, a JSON array, Parquet or a .txt file", found, advice);
        var json = start.AsSpan();
        if (json.StartsWith("\uFEFF"u8))
            json = json[3..];
        return json.TrimStart(" \t\r\n"u8) is [(byte)'[', ..] ? ArrayRows.Read(stream, path) : LineRows.Read(stream, path);
    }

    private byte[] Start()
    {
        using var stream = DataStream.Open(path);
        var start = new byte[256];
        return start[..stream.ReadAtLeast(start, start.Length, throwOnEndOfStream: false)];
    }

    private void TakeForm(RawRow row) => RowJson.Parse(row, json =>
    {
        _form = format == DataFormat.Auto ? RowForm.Find(json) : RowForm.Of(format);
        _passedOver = [.. _form.PassedOver(json)];
        return true;
    });
}
