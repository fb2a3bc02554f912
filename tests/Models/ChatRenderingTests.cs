using CsCheck;
using Halo.Models.Chat;

namespace Halo.Tests.Models;

/// <summary>One rendering of a conversation tells where its answers stand, as rendering every beginning of it by itself does.</summary>
public class ChatRenderingTests
{
    public static TheoryData<int> Kinds => [.. Enumerable.Range(0, Templates.Kinds.Length)];

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Masks_are_those_of_rendering_every_beginning(int kind)
    {
        var chat = Templates.Chat(Templates.Kinds[kind]);
        var turn = Gen.Select(Gen.Int[0, 5], Gen.String[Gen.Char["a b<\n\u00E9"], 0, 6]);
        Gen.Select(turn.Array[1, 7], Gen.Bool).Sample((turns, alternates) =>
        {
            ChatMessage[] messages = [.. turns.Select((t, i) => new ChatMessage(
                alternates ? (i % 2 == 0 ? "user" : "assistant") : t.Item1 switch { 0 => "system", < 3 => "user", _ => "assistant" }, t.Item2))];
            Assert.Equal(Outcome(() => PlainMask(chat, messages)), Outcome(() => chat.Encode(messages)));
        }, iter: 300, seed: "0000KOIPSNy1");
    }

    [Fact]
    public void Four_thousand_turns_take_seconds()
    {
        ChatMessage[] messages = [.. Enumerable.Range(0, 4000).Select(i => new ChatMessage(i % 2 == 0 ? "user" : "assistant", "hi"))];
        foreach (var kind in Templates.Kinds.Take(6))
        {
            var begun = ThreadTime.Seconds;
            var (_, mask) = Templates.Chat(kind).Encode(messages);
            Assert.True(mask.Count(m => m != 0) >= 2000);
            Assert.InRange(ThreadTime.Seconds - begun, 0, 5);
        }
    }

    /// <summary>A template whose beginnings have to be rendered by themselves is given up in time.</summary>
    [Fact]
    public void Too_many_beginnings_are_refused()
    {
        ChatMessage[] messages = [.. Enumerable.Range(0, 4000).Select(i => new ChatMessage(i % 2 == 0 ? "user" : "assistant", "hi"))];
        var begun = ThreadTime.Seconds;
        Assert.Contains("steps", Assert.Throws<HaloException>(() => Templates.Chat(Templates.Kinds[^1].Replace("'!'", "''")).Encode(messages)).Message);
        Assert.InRange(ThreadTime.Seconds - begun, 0, 20);
    }

    [Theory]
    [InlineData("c d")]
    [InlineData("<b>")]
    [InlineData("<think>\nno</think>c")]
    public void An_answer_is_found_where_the_generation_prompt_says_more(string answer)
    {
        var chat = Templates.Chat(Templates.Think);
        var (ids, mask) = chat.Encode([new("user", "a"), new("assistant", answer)]);
        var said = chat.Tokenizer.Decode([.. ids.Where((_, i) => mask[i] != 0)], false);
        Assert.Equal(answer.Replace("<think>\n", "") + "<|eot_id|>", said);
        Assert.Equal(!answer.StartsWith("<think>", StringComparison.Ordinal), chat.Notes.Any(note => note.Contains("<think>", StringComparison.Ordinal)));
    }

    [Fact]
    public void The_mark_behind_an_answer_is_known()
    {
        var eot = Templates.Chat(Templates.Plain).Tokenizer.IdOf("<|eot_id|>");
        Assert.Equal(eot, Templates.Chat(Templates.Plain).EndOfTurn());
        Assert.Equal(eot, Templates.Chat(Templates.Think).EndOfTurn());
        Assert.Null(Templates.Chat(Templates.EndByNext).EndOfTurn());
        Assert.Null(Templates.Chat("{{ raise_exception('no') }}").EndOfTurn());
        Assert.Equal(eot, Templates.Chat("{% if messages[0].role != 'system' %}{{ raise_exception('system first') }}{% endif %}" + Templates.Plain).EndOfTurn());
    }

    private static string Outcome(Func<(int[] Ids, byte[] Mask)> encode)
    {
        try
        {
            var (ids, mask) = encode();
            return $"{string.Join(' ', ids)} / {string.Join("", mask)}";
        }
        catch (HaloException e) { return e.Message; }
    }

    /// <summary>The definition: an answer is what lies between what precedes it with the generation prompt, and what precedes it with the answer.</summary>
    private static (int[], byte[]) PlainMask(ChatTokenizer chat, ChatMessage[] messages)
    {
        var text = chat.Template.Render(messages, false);
        var tokens = chat.Tokenizer.Tokenize(text);
        var mask = new byte[tokens.Count];
        for (var turn = 0; turn < messages.Length; turn++)
        {
            if (messages[turn].Role != "assistant") continue;
            var (start, end) = (Length(turn, true), Length(turn + 1, false));
            var inside = Enumerable.Range(0, tokens.Count).Where(i => tokens[i].Start >= start && tokens[i].Start < end).ToList();
            var last = inside.FindLastIndex(i => chat.Tokenizer.IsSpecial(tokens[i].Id)) + 1;
            var isOnlySpaceBehind = last > 0
                && (last == inside.Count || text.AsSpan(tokens[inside[last]].Start, end - tokens[inside[last]].Start).IsWhiteSpace());
            foreach (var i in isOnlySpaceBehind ? inside[..last] : inside) mask[i] = 1;

            int Length(int count, bool prompt)
            {
                var prefix = chat.Template.Render(messages[..count], prompt);
                return text.StartsWith(prefix, StringComparison.Ordinal) ? prefix.Length
                    : throw new HaloException("chat-template", $"message {turn}", "a template that renders earlier turns the same whatever follows",
                        "one that rewrites them", "Train on conversations of one answer, or simplify the template.");
            }
        }
        return ([.. tokens.Select(t => t.Id)], mask);
    }
}
