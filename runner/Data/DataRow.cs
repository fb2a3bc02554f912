using Halo.Models.Chat;
using Halo.Runner.Data.Reading;

namespace Halo.Runner.Data;

/// <summary>What a row of a data file says, whatever form it has there: a conversation, or running text.</summary>
/// <param name="Place">Where it stands.</param>
/// <param name="Chat">Null where it is text.</param>
/// <param name="Text">Null where it is a conversation.</param>
internal sealed record DataRow(RowPlace Place, ChatConversation? Chat, RunningText? Text = null)
{
    /// <summary>The conversation.</summary>
    /// <exception cref="HaloException">The row is text.</exception>
    public ChatConversation RequireChat(string reader) => Chat
        ?? throw new HaloException(reader, $"{Place}", "a conversation, whose last answer is asked for", "running text", "Leave --exact-match out, or give conversations.");
}

/// <summary>Text that is learned as it stands, without a template.</summary>
/// <param name="Content">The text, or a part of a long one.</param>
/// <param name="Begins">What the tokenizer puts before a text stands before it.</param>
/// <param name="Ends">The token that ends a text stands behind it.</param>
internal sealed record RunningText(string Content, bool Begins = true, bool Ends = true);
