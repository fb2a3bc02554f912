namespace Halo.Models.Chat.Jinja;

/// <summary>The turns of a conversation, and what a template has looked at of them.</summary>
/// <remarks>
/// What is written before a template asks for the number of turns, or for one beyond those it has, is the same for every conversation that begins with the
/// turns it looked at. By this one rendering tells the renderings of its beginnings.
/// </remarks>
internal sealed class JinjaConversation(List<object?> turns)
{
    private List<object?>? _list;
    private (int From, int Count) _listed;

    /// <summary>Turns of the rendering at hand: all, or a beginning of them.</summary>
    internal int Count { get; set; } = turns.Count;

    /// <summary>Whether the number of turns was looked at.</summary>
    internal bool IsLengthSeen { get; set; }

    /// <summary>Turns that a conversation needs to look the same so far.</summary>
    internal int Needed { get; set; }

    internal bool Has(int index)
    {
        if (index >= Count) IsLengthSeen = true;
        else Needed = Math.Max(Needed, index + 1);
        return index < Count;
    }

    internal object? this[int index] => turns[index];

    /// <summary>The turns from one on as a list, whose length is then known.</summary>
    internal List<object?> From(int first, JinjaSite site)
    {
        IsLengthSeen = true;
        if (_list is not null && _listed == (first, Count)) return _list;
        site.MakeItems(Math.Max(0, Count - first));
        _listed = (first, Count);
        return _list = first >= Count ? [] : turns.GetRange(first, Count - first);
    }
}

/// <summary>The turns of a conversation from one on, as a value of a template: looking at all of them makes it a list.</summary>
internal sealed record JinjaTurns(JinjaConversation Of, int First);

/// <summary>The variable <c>loop</c>.</summary>
/// <param name="index">From 0.</param>
/// <param name="list">What is looped over; null for turns.</param>
/// <param name="turns">What is looped over; null for a list.</param>
internal sealed class JinjaLoop(int index, List<object?>? list, JinjaTurns? turns)
{
    /// <returns>Null where there is no such attribute.</returns>
    internal object? Attribute(string name, JinjaSite site) => name switch
    {
        "index" => index + 1L,
        "index0" => (long)index,
        "first" => index == 0,
        "last" => turns is null ? index == list!.Count - 1 : turns.First + index == turns.Of.Count - 1,
        "length" => (long)Count(site),
        "revindex" => (long)Count(site) - index,
        "revindex0" => Count(site) - index - 1L,
        "previtem" => index > 0 ? Item(index - 1) : new Undefined("loop.previtem"),
        "nextitem" => turns is null ? (index + 1 < list!.Count ? list[index + 1] : new Undefined("loop.nextitem"))
            : turns.Of.Has(turns.First + index + 1) ? Item(index + 1) : new Undefined("loop.nextitem"),
        _ => null,
    };

    private object? Item(int at) => turns is null ? list![at] : turns.Of[turns.First + at];

    private int Count(JinjaSite site) => list?.Count ?? turns!.Of.From(turns.First, site).Count;
}
