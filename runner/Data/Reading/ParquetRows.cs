using System.Collections;
using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;
using Parquet;
using Parquet.Meta;
using Parquet.Serialization;

namespace Halo.Runner.Data.Reading;

/// <summary>The rows of a Parquet file as JSON objects, a row group at a time.</summary>
/// <remarks>What reads rows then is one piece of code for all files; writing and reading JSON takes less time than making tokens of it.</remarks>
internal static class ParquetRows
{
    /// <summary>A row group of more is not held in memory.</summary>
    private const long MaxGroupBytes = 2L << 30;

    private static readonly JsonWriterOptions Plain = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true };

    internal static IEnumerable<RawRow> Read(Stream source, string path)
    {
        using var unpacked = source.CanSeek ? null : Unpacked(source);
        using var stream = new WholeStream(unpacked ?? source);
        var groups = Guard(path, () => Groups(stream, path));
        var number = 0L;
        using var buffer = new MemoryStream();
        using var json = new Utf8JsonWriter(buffer, Plain);
        for (var group = 0; group < groups; group++)
        {
            var at = group;
            var rows = Guard(path, () => ParquetSerializer.DeserializeUntypedAsync(stream, new ParquetOptions(), at).GetAwaiter().GetResult());
            foreach (var row in rows.Data)
            {
                buffer.SetLength(0);
                json.Reset();
                var place = new RowPlace(path, ++number, RowUnit.Row);
                Write(json, row, place, depth: 0);
                json.Flush();
                yield return new RawRow(place, buffer.GetBuffer().AsMemory(0, (int)buffer.Length));
            }
        }
    }

    /// <summary>What an archive holds, as Parquet is read from its end: a file of the system's temporary folder that is gone with the stream.</summary>
    private static FileStream Unpacked(Stream archive)
    {
        var path = Path.Combine(Path.GetTempPath(), $"halo-{Guid.NewGuid():N}.parquet");
        var file = new FileStream(path, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.Delete, 1 << 16);
        try
        {
            File.Delete(path); // its content stays as long as it is open
            archive.CopyTo(file);
            file.Position = 0;
            return file;
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>How many row groups there are, none larger than memory allows.</summary>
    private static int Groups(Stream stream, string path)
    {
        ParquetMetadata.CheckFooter(stream);
        using var reader = new Disposer(ParquetReader.CreateAsync(stream, leaveStreamOpen: true).GetAwaiter().GetResult());
        var groups = reader.Value.Metadata?.RowGroups ?? [];
        foreach (var group in groups)
        {
            var bytes = Math.Max(group.TotalByteSize, group.Columns.Sum(c => c.MetaData?.TotalUncompressedSize ?? 0));
            if (bytes > MaxGroupBytes || group.NumRows > int.MaxValue || bytes < 0 || group.NumRows < 0)
            {
                throw new HaloException(DataStream.Reader, path, $"row groups of at most {MaxGroupBytes >> 30} GiB", $"one of {group.NumRows} rows and {bytes} bytes",
                    "Write the file with smaller row groups.");
            }
            foreach (var column in group.Columns.Select(c => c.MetaData).OfType<ColumnMetaData>())
                ParquetMetadata.CheckPages(stream, column.DictionaryPageOffset is > 0 and var first ? Math.Min(first, column.DataPageOffset) : column.DataPageOffset, column.TotalCompressedSize);
        }
        return groups.Count;
    }

    private static void Write(Utf8JsonWriter json, object? value, RowPlace place, int depth)
    {
        if (depth > 32)
            throw RowJson.Bad(place, "at most 32 levels", "more", "Flatten the row.");
        switch (value)
        {
            case null: json.WriteNullValue(); break;
            case string text: json.WriteStringValue(text); break;
            case bool flag: json.WriteBooleanValue(flag); break;
            case double number when !double.IsFinite(number): json.WriteNullValue(); break;
            case float number when !float.IsFinite(number): json.WriteNullValue(); break;
            case byte[] bytes: json.WriteBase64StringValue(bytes); break; // no text
            case IDictionary map:
                json.WriteStartObject();
                foreach (DictionaryEntry entry in map)
                {
                    json.WritePropertyName(Convert.ToString(entry.Key, CultureInfo.InvariantCulture) ?? "");
                    Write(json, entry.Value, place, depth + 1);
                }
                json.WriteEndObject();
                break;
            case IEnumerable list:
                json.WriteStartArray();
                foreach (var item in list)
                    Write(json, item, place, depth + 1);
                json.WriteEndArray();
                break;
            case sbyte or byte or short or ushort or int or uint or long or ulong or float or double or decimal:
                json.WriteRawValue(((IFormattable)value).ToString(null, CultureInfo.InvariantCulture), skipInputValidation: true);
                break;
            default: json.WriteStringValue(Convert.ToString(value, CultureInfo.InvariantCulture)); break; // dates, times, ids
        }
    }

    /// <summary>What the library throws on a damaged file is its own affair; here it is a damaged file.</summary>
    private static T Guard<T>(string path, Func<T> read)
    {
        try
        {
            return read();
        }
        catch (Exception e) when (e is not (HaloException or OutOfMemoryException or StackOverflowException))
        {
            throw new HaloException(DataStream.Reader, path, "a whole Parquet file", $"a damaged one, or one of a kind that is not read "
                + $"({e.GetType().Name}: {e.Message.ReplaceLineEndings(" ").TrimEnd('.')})", "Write it again, or write its rows as JSONL.", e);
        }
    }

    private readonly struct Disposer(ParquetReader reader) : IDisposable
    {
        internal ParquetReader Value => reader;

        public void Dispose() => reader.DisposeAsync().AsTask().GetAwaiter().GetResult();
    }
}
