using Halo.Models.Chat;
using Halo.Models.Tokenizers;
using Halo.Runner.Data.Reading;

namespace Halo.Runner.Data;

/// <summary>One conversation as tokens. <paramref name="LossMask"/> has the length of <paramref name="Ids"/>: 1 where the token is learned.</summary>
internal sealed record TokenizedRow(int[] Ids, byte[] LossMask)
{
    /// <summary>The tokens that count in the loss: learned and not at position 0, which no logit predicts.</summary>
    public int CountedTokens { get; } = LossMask.Length < 2 ? 0 : LossMask.Length - 1 - LossMask.AsSpan(1).Count((byte)0);

    /// <summary>The first of them; <see cref="int.MaxValue"/> where there is none.</summary>
    internal int FirstCounted => LossMask.Length > 1 && LossMask.AsSpan(1).IndexOfAnyExcept((byte)0) is var at and >= 0 ? at + 1 : int.MaxValue;
}

/// <summary>The rows of data files as tokens, none longer than the sequence.</summary>
/// <remarks>
/// A longer conversation is cut on the right. One that keeps no counted token after the cut teaches nothing, so it is left out; both are counted, and the
/// caller reports them. A longer text goes on in the next row, whose first token is the last one of the row before: every token is learned once.
/// </remarks>
internal sealed class ChatDataset
{
    private readonly ITokenRows _whole;
    private readonly IReadOnlyList<DataFile> _files;
    private readonly TokenNotes _notes;
    private readonly CutRows _rows;

    private ChatDataset(string path, IReadOnlyList<DataFile> files, ITokenRows whole, TokenNotes notes, int maxLength)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(maxLength, 2);
        (Path, _files, _whole, _notes, MaxLength) = (path, files, whole, notes, maxLength);
        var parts = new List<(int Row, int Start, int Length)>();
        for (var row = 0; row < whole.Count; row++)
        {
            var info = whole.Info(row);
            LongestRow = Math.Max(LongestRow, info.Length);
            if (info.IsText)
            {
                for (var start = 0; start + 1 < info.Length; start += maxLength - 1)
                    parts.Add((row, start, Math.Min(maxLength, info.Length - start)));
            }
            else if (info.FirstCounted >= maxLength)
                Dropped++;
            else
            {
                Truncated += info.Length > maxLength ? 1 : 0;
                parts.Add((row, 0, Math.Min(maxLength, info.Length)));
            }
        }
        if (parts.Count == 0)
            throw new HaloException("load-data", path, $"a row with an assistant token among its first {maxLength}", $"none in {whole.Count} rows",
                "Use a graph with a longer sequence or shorter rows.");
        _rows = new CutRows(whole, Weighted(parts));
        (Tokens, CountedTokens) = (_rows.Tokens, _rows.CountedTokens);
    }

    /// <summary>The files, as they were named.</summary>
    public string Path { get; }

    /// <summary>Tokens at which a row is cut.</summary>
    public int MaxLength { get; }

    /// <summary>The rows of an epoch; each is read when it is asked for.</summary>
    public IReadOnlyList<TokenizedRow> Rows => _rows;

    /// <summary>Tokens of a row, which is not read for it.</summary>
    public int LengthOf(int row) => _rows.LengthOf(row);

    /// <summary>The rows before any cut.</summary>
    public ITokenRows WholeRows => _whole;

    /// <summary>Where a whole row stands.</summary>
    public string PlaceOf(int row) => _whole.Info(row) is var info ? $"{new RowPlace(_files[info.File].Path, info.Number, info.Unit)}" : "";

    /// <summary>Where a row of an epoch stands.</summary>
    public string PlaceOfCut(int row) => PlaceOf(_rows.WholeOf(row));

    /// <summary>Rows that were cut and kept.</summary>
    public int Truncated { get; }

    /// <summary>Rows left out because every counted token lay past the cut.</summary>
    public int Dropped { get; }

    /// <summary>Tokens of the longest row before any cut.</summary>
    public int LongestRow { get; }

    /// <summary>Tokens of all kept rows.</summary>
    public long Tokens { get; }

    public long CountedTokens { get; }

    /// <summary>What a reader should know of the rows, a sentence each.</summary>
    public IReadOnlyList<string> Notes => _notes.Notes;

    /// <summary>One line for a log: rows, tokens, and what was cut or left out.</summary>
    public string Summary => $"{Name}: {Rows.Count} rows of form {_notes.Forms}, {Tokens} tokens, {CountedTokens} of them learned; {Cuts}";

    /// <summary>What was cut or left out.</summary>
    public string Cuts => $"longest row {LongestRow}, {Truncated} cut at {MaxLength}, {Dropped} left out";

    private string Name => _files.Count == 1 ? System.IO.Path.GetFileName(_files[0].Path) : $"{_files.Count} files";

    /// <summary>Conversations by a chat template, in whatever form files have them.</summary>
    public static ChatDataset Load(string path, ChatTokenizer tokenizer, int maxLength) => Load(path, new RowEncoder(tokenizer), maxLength);

    /// <summary>As settings say.</summary>
    /// <param name="data">The files, as <see cref="DataFiles"/> takes them.</param>
    /// <param name="tokenizer">Of the model.</param>
    /// <param name="settings">How rows are read, and where tokens are kept.</param>
    /// <param name="maxLength">The graph's sequence length T, in tokens.</param>
    /// <exception cref="HaloException">A defect of a file, a row that the encoder refuses or in which it counts nothing, or no row is left.</exception>
    public static ChatDataset Load(string data, HfTokenizer tokenizer, RowSettings settings, int maxLength)
    {
        var (files, encoder, notes) = (DataFiles.Of(data), new RowEncoder(tokenizer, settings.Learn), new List<string>());
        TokenNotes Encode(ITokenRowsTarget target) => Fill(files, encoder.Encode, () => encoder.Notes, settings.Format, target);
        var isLarge = files.Sum(f => File.Exists(f.Path) ? new FileInfo(f.Path).Length : 0) > settings.HeldBytes;
        var (rows, found) = settings.CacheFolder is { } folder && (isLarge || settings.KeepsAll) ? TokenCache.In(folder, files, tokenizer, settings).Open(Encode, notes.Add)
            : isLarge ? TokenCache.Temporary(Encode) : Held(Encode);
        return new ChatDataset(data, files, rows, found with { Notes = [.. found.Notes, .. notes] }, maxLength);
    }

    /// <summary>Conversations by any encoder.</summary>
    /// <param name="data">The files.</param>
    /// <param name="encode">Conversation to ids and loss mask, both of one length: <see cref="ChatTokenizer.Encode(ChatConversation)"/>.</param>
    /// <param name="maxLength">T.</param>
    public static ChatDataset Load(string data, Func<ChatConversation, (int[] Ids, byte[] LossMask)> encode, int maxLength) =>
        Load(data, row => [encode(row.RequireChat("load-data"))], () => [], maxLength);

    private static ChatDataset Load(string data, RowEncoder encoder, int maxLength) => Load(data, encoder.Encode, () => encoder.Notes, maxLength);

    private static ChatDataset Load(string data, Func<DataRow, IReadOnlyList<(int[] Ids, byte[] LossMask)>> encode, Func<IReadOnlyList<string>> notes, int maxLength)
    {
        var files = DataFiles.Of(data);
        var (rows, found) = Held(target => Fill(files, encode, notes, DataFormat.Auto, target));
        return new ChatDataset(data, files, rows, found, maxLength);
    }

    private static (ITokenRows, TokenNotes) Held(Func<ITokenRowsTarget, TokenNotes> encode)
    {
        var rows = new HeldTokenRows();
        return (rows, encode(rows));
    }

    private static TokenNotes Fill(IReadOnlyList<DataFile> files, Func<DataRow, IReadOnlyList<(int[] Ids, byte[] LossMask)>> encode,
        Func<IReadOnlyList<string>> notes, DataFormat format, ITokenRowsTarget target)
    {
        var (forms, passedOver) = (new List<string>(), new List<string>());
        for (var file = 0; file < files.Count; file++)
        {
            var reader = new DataFileReader(files[file].Path, format);
            foreach (var (place, isText, row) in RowReading.Read(reader, encode))
                target.Add(row, file, place, isText);
            forms.Add(reader.Form);
            if (reader.PassedOver.Count > 0)
                passedOver.Add($"{System.IO.Path.GetFileName(reader.Path)}: fields that nothing reads: {string.Join(", ", reader.PassedOver)}");
        }
        return new TokenNotes(string.Join("; ", forms.Distinct()), [.. passedOver, .. notes()]);
    }

    /// <summary>The same rows, none longer than a graph takes.</summary>
    /// <param name="maxLength">The graph's sequence length T, in tokens.</param>
    /// <exception cref="HaloException">No row is left.</exception>
    public ChatDataset CutAt(int maxLength) => new(Path, _files, _whole, _notes, maxLength);

    /// <summary>The parts of an epoch: those of each file as often as its weight says, of a fraction as many as it comes to, drawn once.</summary>
    private List<(int Row, int Start, int Length)> Weighted(List<(int Row, int Start, int Length)> parts)
    {
        if (_files.All(f => f.Weight == 1))
            return parts;
        var weighted = new List<(int, int, int)>();
        foreach (var group in parts.GroupBy(p => _whole.Info(p.Row).File))
        {
            var (own, weight) = (group.ToList(), _files[group.Key].Weight);
            for (var copy = 0; copy < (int)weight; copy++)
                weighted.AddRange(own);
            var drawn = SplitMix64.Stream(DrawSeed, (ulong)group.Key).Permutation(own.Count)[..(int)Math.Round((weight - Math.Floor(weight)) * own.Count)];
            weighted.AddRange(drawn.Order().Select(i => own[i]));
        }
        return weighted.Count > 0 ? weighted : throw new HaloException("load-data", Path, "weights that leave a row", "none left", "Give larger weights.");
    }

    private const ulong DrawSeed = 19;
}
