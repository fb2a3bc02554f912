using Halo.Models.Chat;
using Halo.Models.Tokenizers;

namespace Halo.Runner.Data;

/// <summary>Rows of data to tokens and what is learned of them.</summary>
/// <remarks>Safe to share between threads.</remarks>
internal sealed class RowEncoder
{
    private const string NoEndOfTurn = "no answer of the data ends in a learned end-of-turn token: the chat template writes none behind an answer, and the model "
        + "will not learn to stop";

    private const string NoEndOfText = "the tokenizer has no token that ends a text, so the model will not learn to stop";

    private readonly Lazy<ChatTokenizer> _chat; // running text needs no template
    private volatile bool _sawChat, _learnsToStop, _sawText;

    /// <param name="tokenizer">Of the model.</param>
    /// <param name="learn">The tokens of a conversation that are learned.</param>
    public RowEncoder(HfTokenizer tokenizer, LearnedTokens learn = LearnedTokens.Answers)
        => (Tokenizer, Learn, _chat) = (tokenizer, learn, new Lazy<ChatTokenizer>(() => new ChatTokenizer(tokenizer)));

    /// <param name="chat">Template and tokenizer.</param>
    public RowEncoder(ChatTokenizer chat) => (Tokenizer, _chat) = (chat.Tokenizer, new Lazy<ChatTokenizer>(chat));

    public HfTokenizer Tokenizer { get; }

    public LearnedTokens Learn { get; }

    /// <summary>What a reader should know of the rows that were encoded, a sentence each.</summary>
    public IReadOnlyList<string> Notes =>
    [
        .. _sawChat ? _chat.Value.Notes : Tokenizer.Notes,
        .. _sawChat && !_learnsToStop ? [NoEndOfTurn] : Array.Empty<string>(),
        .. _sawText && Tokenizer.EosId is null ? [NoEndOfText] : Array.Empty<string>(),
    ];

    /// <summary>The rows that a conversation or a text is learned in.</summary>
    /// <exception cref="HaloException">The template refuses the conversation, or the tokenizer the text.</exception>
    public IReadOnlyList<(int[] Ids, byte[] LossMask)> Encode(DataRow row)
    {
        if (row.Text is { } text)
            return [Encode(text)];
        _sawChat = true;
        var rows = _chat.Value.EncodeRows(row.Chat!);
        if (!_learnsToStop && rows.Any(r => _chat.Value.LearnsToStop(r.Ids, r.LossMask)))
            _learnsToStop = true;
        if (Learn == LearnedTokens.All)
        {
            foreach (var (_, mask) in rows)
                Array.Fill(mask, (byte)1);
        }
        return rows;
    }

    private (int[], byte[]) Encode(RunningText text)
    {
        _sawText = true;
        var ids = Tokenizer.Encode(text.Content, addSpecialTokens: text.Begins);
        if (text.Ends && Tokenizer.EosId is { } end && (ids.Length == 0 || ids[^1] != end))
            ids = [.. ids, end];
        var mask = new byte[ids.Length];
        Array.Fill(mask, (byte)1);
        return (ids, mask);
    }
}
