using Halo.Models.Chat;

namespace Halo.Tests.Models;

/// <summary>By what the tokens that are learned are found: generation blocks, beginnings, or a row for each answer.</summary>
public class ChatRowsTests
{
    private const string Head = "{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' }}";

    private const string Prompt = "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}";

    private static readonly ChatMessage[] Talk = [new("user", "a"), new("assistant", "<t>x</t>b"), new("user", "c"), new("assistant", "<t>y</t>d")];

    [Fact]
    public void Generation_blocks_say_what_is_learned()
    {
        var chat = Templates.Chat("{% for m in messages %}" + Head
            + "{% if m.role == 'assistant' %}{%- generation -%}{{ m.content }}{% if loop.last %}<|eot_id|>{% endif %}"
            + "{%- endgeneration -%}{% else %}{{ m.content }}<|eot_id|>{% endif %}{% endfor %}" + Prompt);
        Assert.Equal(["<t>x</t>b<t>y</t>d<|eot_id|>"], Learned(chat));
        Assert.Contains(chat.Notes, n => n.Contains("generation blocks", StringComparison.Ordinal));
    }

    [Fact]
    public void Blocks_inside_a_macro_leave_beginnings_to_tell()
    {
        var chat = Templates.Chat("{% macro say(m) %}{% generation %}{{ m.content }}{% endgeneration %}<|eot_id|>{% endmacro %}{% for m in messages %}" + Head
            + "{{ say(m) }}{% endfor %}" + Prompt);
        Assert.Equal(["<t>x</t>b<|eot_id|><t>y</t>d<|eot_id|>"], Learned(chat));
        Assert.Empty(chat.Notes);
    }

    /// <summary>Thoughts of earlier answers are taken out, as Qwen3's and R1's templates do.</summary>
    [Fact]
    public void Where_turns_are_rewritten_each_answer_is_a_row()
    {
        var chat = Templates.Chat("{% for m in messages %}" + Head
            + "{{ m.content if loop.last or m.role == 'user' else m.content.split('</t>')[-1] }}<|eot_id|>{% endfor %}"
            + Prompt);
        Assert.Equal(["<t>x</t>b<|eot_id|>", "<t>y</t>d<|eot_id|>"], Learned(chat));
        Assert.Contains(chat.Notes, n => n.Contains("row of its own", StringComparison.Ordinal));
        var (ids, mask) = chat.EncodeRows(new ChatConversation(Talk))[1];
        Assert.Equal(chat.EncodePrompt(Talk[..3]), ids[..Array.IndexOf(mask, (byte)1)]);
    }

    [Fact]
    public void Even_one_answer_must_be_found() => Assert.Throws<HaloException>(() =>
        Templates.Chat("{{ messages | length }}{% for m in messages %}{{ m.content }}{% endfor %}").EncodeRows(new ChatConversation(Talk)));

    private static IEnumerable<string> Learned(ChatTokenizer chat) => chat.EncodeRows(new ChatConversation(Talk))
        .Select(row => chat.Tokenizer.Decode([.. row.Ids.Where((_, i) => row.LossMask[i] != 0)], false));
}
