using Microsoft.ML.OnnxRuntime;

namespace Halo.Runner.Generation;

/// <summary>Rows that a <see cref="DecoderSession"/> has read, and their caches.</summary>
internal sealed class Decoding : IDecoding
{
    private readonly DecoderSession _session;
    private readonly List<int>[] _rows;
    private IReadOnlyList<OrtValue> _outputs = [];
    private int[] _last = []; // place of each row's last token in the logits
    private int _width; // S of the last run

    internal Decoding(DecoderSession session, IReadOnlyList<int[]> prompts)
    {
        (_session, _rows) = (session, [.. prompts.Select(p => p.ToList())]);
        foreach (var row in _rows)
        {
            ArgumentOutOfRangeException.ThrowIfZero(row.Count);
            ArgumentOutOfRangeException.ThrowIfGreaterThan(row.Count, session.MaxPositions);
        }
    }

    /// <summary>Logits of the token that follows a row, (V).</summary>
    public ReadOnlySpan<float> Next(int row) => Logits(row, _last[row]);

    /// <summary>Logits behind a token of the last run, (V): of a prompt all tokens, from 0; behind <see cref="Append"/> with a cache the last one, 0.</summary>
    public ReadOnlySpan<float> Logits(int row, int token) =>
        _outputs[0].GetTensorDataAsSpan<float>().Slice(((row * _width) + token) * _session.VocabularySize, _session.VocabularySize);

    /// <inheritdoc/>
    public void Append(IReadOnlyList<int?> tokens)
    {
        for (var row = 0; row < _rows.Length; row++)
        {
            if (tokens[row] is not { } id)
                continue;
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(_rows[row].Count, _session.MaxPositions);
            _rows[row].Add(id);
        }
        if (_session.UsesCache)
            ReadLast();
        else
            ReadAll();
    }

    public void Dispose() => Keep([]);

    /// <summary>Reads all rows from their beginning.</summary>
    internal void ReadAll()
    {
        _width = _rows.Max(row => row.Count);
        var ids = new long[_rows.Length * _width];
        for (var row = 0; row < _rows.Length; row++)
        {
            for (var n = 0; n < _rows[row].Count; n++)
                ids[(row * _width) + n] = _rows[row][n];
        }
        Keep(_session.Run(ids, Mask(), _rows.Length, [], keep: _session.UsesCache));
        _last = [.. _rows.Select(row => row.Count - 1)];
    }

    /// <summary>Reads the last token of each row behind its cache. A row that is over reads its last one again, over its own place.</summary>
    private void ReadLast()
    {
        _width = 1;
        Keep(_session.Run([.. _rows.Select(row => (long)row[^1])], Mask(), _rows.Length, [.. _outputs.Skip(1)], keep: true));
        _last = new int[_rows.Length];
    }

    /// <summary>1 on the tokens of each row, (B, longest row).</summary>
    private long[] Mask()
    {
        var longest = _rows.Max(row => row.Count);
        var mask = new long[_rows.Length * longest];
        for (var row = 0; row < _rows.Length; row++)
            mask.AsSpan(row * longest, _rows[row].Count).Fill(1);
        return mask;
    }

    private void Keep(IReadOnlyList<OrtValue> outputs)
    {
        foreach (var value in _outputs)
            value.Dispose();
        _outputs = outputs;
    }
}
