using Halo.Runner.Data.Reading;

namespace Halo.Runner.Data;

/// <summary>Files to rows of tokens: read in order, encoded on all cores, a bounded number of rows at a time.</summary>
internal static class RowReading
{
    /// <summary>What is encoded at once.</summary>
    private const int BatchBytes = 1 << 20, BatchRows = 1024;

    /// <summary>Encodes the rows of a file in their order.</summary>
    /// <param name="reader">Of the file.</param>
    /// <param name="encode">Row to ids and loss mask, both of one length; called by several threads at once.</param>
    /// <exception cref="HaloException">A row is not right, or nothing of it counts; the first of them is named.</exception>
    internal static IEnumerable<(RowPlace Place, bool IsText, TokenizedRow Row)> Read(
        DataFileReader reader, Func<DataRow, IReadOnlyList<(int[] Ids, byte[] LossMask)>> encode)
    {
        var batch = new List<RawRow>();
        var bytes = 0L;
        foreach (var row in reader.Raw())
        {
            batch.Add(row.Copy());
            bytes += row.Bytes.Length;
            if (bytes < BatchBytes && batch.Count < BatchRows)
                continue;
            foreach (var encoded in Encode(batch, reader, encode))
                yield return encoded;
            batch.Clear();
            bytes = 0;
        }
        foreach (var encoded in Encode(batch, reader, encode))
            yield return encoded;
    }

    private static IEnumerable<(RowPlace, bool, TokenizedRow)> Encode(
        List<RawRow> batch, DataFileReader reader, Func<DataRow, IReadOnlyList<(int[] Ids, byte[] LossMask)>> encode)
    {
        var done = new (bool IsText, IReadOnlyList<TokenizedRow> Rows)[batch.Count];
        var failures = new HaloException?[batch.Count];
        Parallel.For(0, batch.Count, (i, loop) =>
        {
            try
            {
                done[i] = EncodeOne(reader.Row(batch[i]), encode);
            }
            catch (HaloException e)
            {
                failures[i] = e;
                loop.Break(); // those before it are still done, so that the first is named
            }
        });
        for (var i = 0; i < batch.Count; i++)
        {
            if (failures[i] is { } failure)
                throw failure;
            foreach (var row in done[i].Rows)
                yield return (batch[i].Place, done[i].IsText, row);
        }
    }

    private static (bool, IReadOnlyList<TokenizedRow>) EncodeOne(DataRow row, Func<DataRow, IReadOnlyList<(int[] Ids, byte[] LossMask)>> encode)
    {
        IReadOnlyList<(int[] Ids, byte[] LossMask)> encoded;
        try
        {
            encoded = encode(row);
        }
        catch (HaloException e) // which knows nothing of files
        {
            throw new HaloException(e.Source!, $"{row.Place}: {e.Subject}", e.Expected, e.Found, e.Advice, e);
        }
        var rows = encoded.Select(e => new TokenizedRow(e.Ids, e.LossMask)).ToList();
        if (rows.Exists(r => r.CountedTokens == 0))
        {
            throw new HaloException("load-data", $"{row.Place}", row.Text is null ? "a token of the assistant that counts in the loss" : "a text of two tokens or more",
                "none", row.Text is null ? "Check that the chat template renders assistant messages." : "Remove the row.");
        }
        return (row.Text is not null, rows);
    }
}
