using Halo.Models.Chat;

namespace Halo.Runner.Data;

/// <summary>One conversation as tokens. <paramref name="LossMask"/> has the length of <paramref name="Ids"/>: 1 where the token is learned.</summary>
public sealed record TokenizedRow(int[] Ids, byte[] LossMask)
{
    /// <summary>The tokens that count in the loss: learned and not at position 0, which no logit predicts.</summary>
    public int CountedTokens { get; } = LossMask.Skip(1).Count(m => m != 0);
}

/// <summary>The rows of one data file as tokens, none longer than the sequence.</summary>
/// <remarks>
/// A longer row is cut on the right. One that keeps no counted token after the cut teaches nothing, so it is left out; both are counted, and the
/// caller reports them.
/// </remarks>
public sealed class ChatDataset
{
    private const string NoEndOfTurn = "no answer of the data ends in a learned end-of-turn token: the chat template writes none behind an answer, and the model "
        + "will not learn to stop";

    private ChatDataset(string path, int maxLength) => (Path, MaxLength) = (path, maxLength);

    private ChatDataset(ChatDataset data, IReadOnlyList<string> notes) : this(data.Path, data.MaxLength) =>
        (Rows, Truncated, Dropped, LongestRow, Notes) = (data.Rows, data.Truncated, data.Dropped, data.LongestRow, notes);

    public string Path { get; }

    /// <summary>Tokens at which a row is cut.</summary>
    public int MaxLength { get; }

    public IReadOnlyList<TokenizedRow> Rows { get; private init; } = [];

    /// <summary>Rows that were cut and kept.</summary>
    public int Truncated { get; private init; }

    /// <summary>Rows left out because every counted token lay past the cut.</summary>
    public int Dropped { get; private init; }

    /// <summary>Tokens of the longest row before any cut.</summary>
    public int LongestRow { get; private init; }

    /// <summary>Tokens of all kept rows.</summary>
    public long Tokens => Rows.Sum(r => (long)r.Ids.Length);

    public long CountedTokens => Rows.Sum(r => (long)r.CountedTokens);

    /// <summary>What a reader should know of the rows, a sentence each.</summary>
    public IReadOnlyList<string> Notes { get; private init; } = [];

    /// <summary>One line for a log: rows, tokens, and what was cut or left out.</summary>
    public string Summary => $"{System.IO.Path.GetFileName(Path)}: {Rows.Count} rows, {Tokens} tokens, {CountedTokens} of them learned; {Cuts}";

    /// <summary>What was cut or left out.</summary>
    public string Cuts => $"longest row {LongestRow}, {Truncated} cut at {MaxLength}, {Dropped} left out";

    /// <summary>As below, by a chat template; notes what it passes over, and whether the model learns to stop.</summary>
    public static ChatDataset Load(string path, ChatTokenizer tokenizer, int maxLength)
    {
        var learnsToStop = false;
        var data = Load(path, chat =>
        {
            var rows = tokenizer.EncodeRows(chat);
            learnsToStop = learnsToStop || rows.Any(row => tokenizer.LearnsToStop(row.Ids, row.LossMask));
            return rows;
        }, maxLength);
        return new ChatDataset(data, [.. tokenizer.Notes, .. learnsToStop ? Array.Empty<string>() : [NoEndOfTurn]]);
    }

    /// <summary>Encodes every row of a JSONL file once.</summary>
    /// <param name="path">The file, as <see cref="ChatJsonl"/> reads it.</param>
    /// <param name="encode">Conversation to ids and loss mask, both of one length: <see cref="ChatTokenizer.Encode(ChatConversation)"/>.</param>
    /// <param name="maxLength">The graph's sequence length T, in tokens.</param>
    /// <exception cref="HaloException">A defect of the file, a row that the encoder refuses or in which it counts nothing, or no row is left.</exception>
    public static ChatDataset Load(string path, Func<ChatConversation, (int[] Ids, byte[] LossMask)> encode, int maxLength) =>
        Load(path, chat => [encode(chat)], maxLength);

    private static ChatDataset Load(string path, Func<ChatConversation, IReadOnlyList<(int[] Ids, byte[] LossMask)>> encode, int maxLength)
    {
        var rows = new List<TokenizedRow>();
        foreach (var chat in ChatJsonl.Read(path))
        {
            foreach (var (ids, mask) in Encode(chat, encode, path))
            {
                var whole = new TokenizedRow(ids, mask);
                if (whole.CountedTokens == 0)
                    throw new HaloException("load-data", $"{path}, line {chat.Line}", "a token of the assistant that counts in the loss", "none",
                        "Check that the chat template renders assistant messages.");
                rows.Add(whole);
            }
        }
        return new ChatDataset(path, int.MaxValue) { Rows = rows, LongestRow = rows.Select(r => r.Ids.Length).DefaultIfEmpty().Max() }.CutAt(maxLength);
    }

    /// <summary>The same rows, none longer than a graph takes.</summary>
    /// <param name="maxLength">The graph's sequence length T, in tokens.</param>
    /// <exception cref="HaloException">No row is left.</exception>
    public ChatDataset CutAt(int maxLength)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(maxLength, 2);
        var rows = new List<TokenizedRow>();
        var truncated = 0;
        foreach (var whole in Rows)
        {
            var row = whole.Ids.Length <= maxLength ? whole : new TokenizedRow(whole.Ids[..maxLength], whole.LossMask[..maxLength]);
            if (row.CountedTokens == 0)
                continue;
            if (row != whole)
                truncated++;
            rows.Add(row);
        }
        if (rows.Count == 0)
            throw new HaloException("load-data", Path, $"a row with an assistant token among its first {maxLength}", $"none in {Rows.Count} rows",
                "Use a graph with a longer sequence or shorter rows.");
        return new ChatDataset(Path, maxLength)
        {
            Rows = rows,
            Truncated = truncated,
            Dropped = Rows.Count - rows.Count,
            LongestRow = LongestRow,
            Notes = Notes,
        };
    }

    /// <summary>Adds the line to what the encoder complains about.</summary>
    private static IReadOnlyList<(int[] Ids, byte[] LossMask)> Encode(
        ChatRow chat, Func<ChatConversation, IReadOnlyList<(int[] Ids, byte[] LossMask)>> encode, string path)
    {
        try { return encode(chat.Chat); }
        catch (HaloException e)
        {
            throw new HaloException(e.Source!, $"{path}, line {chat.Line}: {e.Subject}", e.Expected, e.Found, e.Advice, e);
        }
    }
}
