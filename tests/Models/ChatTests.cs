using System.Text.Json.Nodes;
using Halo.Models.Bundled;
using Halo.Models.Chat;
using Halo.Models.Tokenizers;

namespace Halo.Tests.Models;

public class ChatTests
{
    private static readonly ChatTokenizer Chat = new(HfTokenizer.Load(LlamaTiny.Folder));
    private static readonly ChatMessage[] Two = [new("user", "a"), new("assistant", " b ")];

    [Fact]
    public void Every_case_has_the_text_the_ids_and_the_mask_of_the_reference()
    {
        var cases = Fixture.Json("chat-cases.json").EnumerateArray().ToList();
        Assert.Equal(22, cases.Count);
        foreach (var item in cases)
        {
            ChatMessage[] messages = [.. item.GetProperty("messages").EnumerateArray()
                .Select(m => new ChatMessage(m.GetProperty("role").GetString()!, m.GetProperty("content").GetString()!))];
            Assert.Equal(item.GetProperty("text").GetString(), Chat.Template.Render(messages, addGenerationPrompt: false));
            Assert.Equal(item.GetProperty("prompt_text").GetString(), Chat.Template.Render(messages.Take(1), addGenerationPrompt: true));
            var (ids, mask) = Chat.Encode(messages);
            Assert.Equal(Fixture.Ints(item.GetProperty("ids")), ids);
            Assert.Equal(Fixture.Ints(item.GetProperty("loss_mask")), mask.Select(m => (int)m));
        }
    }

    // Expected texts are those of Jinja 3.1 with trim_blocks and lstrip_blocks.
    [Theory]
    [InlineData("{{ messages[0].content ~ (1 + 2) }}|{{ 7 // 2 }}|{{ -7 % 3 }}|{{ 1 / 2 }}", "a3|3|2|0.5")]
    [InlineData("{% for m in messages %}\n  {% if loop.first %}\n    x\n  {% endif %}\n{{ loop.index0 }}{{ loop.last }}\n{% endfor %}",
        "    x\n0False\n1True\n")]
    [InlineData("{%- for m in messages[1:] -%} {{ m['role'] }} {%- endfor -%} !", "assistant!")]
    [InlineData("{% for m in messages if m.role == 'user' %}{{ m.content }}{% else %}none{% endfor %}", "a")]
    [InlineData("{% for m in [] %}x{% else %}none{% endfor %}", "none")]
    [InlineData("{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}", "2")]
    [InlineData("{% set x = 1 %}{% for m in messages %}{% set x = 2 %}{% endfor %}{{ x }}", "1")]
    [InlineData("{{ 'yes' if missing is defined else 'no' }}{{ missing }}{{ missing | default('d') }}", "nod")]
    [InlineData("{{ messages[0].content is string and not (messages is none) }}", "True")]
    [InlineData("{{ ' a,b '.strip().split(',') | join('-') | upper }}{{ 'abc'[::-1] }}{{ 'abc'[-1] }}", "A-Bcbac")]
    [InlineData("{{ {'a': [1, none, 'x\\n']} | tojson }}", "{\"a\": [1, null, \"x\\n\"]}")]
    [InlineData("{{ {'a': [1]} | tojson(indent=2) }}", "{\n  \"a\": [\n    1\n  ]\n}")]
    [InlineData("{% macro f(a, b='B') %}{{ a }}{{ b }}{% endmacro %}{{ f('x') }}{{ f('y', b='z') }}", "xByz")]
    [InlineData("{# note #}\na{# b -#}  c {%- generation %}d{% endgeneration %}", "acd")]
    [InlineData("{{ messages | map(attribute='role') | join(',') }}{{ messages | selectattr('role', 'equalto', 'user') | list | length }}", "user,assistant1")]
    [InlineData("{{ 'a' in 'abc' }} {{ 'role' in messages[0] }} {{ 'x' not in ['y'] }} {{ 1 < 2 < 3 }} {{ [1, 'a', 1.0] }}",
        "True True True True [1, 'a', 1.0]")]
    [InlineData("{% set b %}in{{ 1 }}{% endset %}{{ b }}{% for k, v in {'p': 1}.items() %}{{ k }}{{ v }}{% endfor %}", "in1p1")]
    [InlineData("{% for m in messages %}{% if loop.index0 == 1 %}{% break %}{% endif %}{{ m.content }}{% endfor %}x\n", "ax")]
    [InlineData("  {%+ if true %}x{% endif %}\n  {{ 1 }}\n", "  x  1")]
    [InlineData("{{ -7 // 2 }}|{{ 7 // -2 }}|{{ 9007199254740993 // 1 }}|{{ 9007199254740993 == 9007199254740992 }}|{{ 5 % -1 }}", "-4|-4|9007199254740993|False|0")]
    [InlineData("{{ [1, [2]] | tojson(indent=-5) }}", "[\n1,\n[\n2\n]\n]")]
    [InlineData("{{ 'aaa'.replace('a', 'b', 2) }}{{ 'aaa' | replace('a', 'c', 1) }}", "bbacaa")]
    [InlineData("{{ 'abcd'[1::9223372036854775807] }}{{ [1, 2, 3][::-9223372036854775807] }}", "b[3]")]
    [InlineData("{% set d = {'items': 1, 'get': 2} %}{{ d.items() | length }}{{ d['items'] }}{{ d.get('get') }}", "212")]
    [InlineData("{{ '\U0001D7CF\U0001D7D0x'.strip('\U0001D7CF') }}{{ 'x\U0001D7CFy'.find('y') }}{{ '\U0001D7CF'.isdigit() }}{{ '\U00010428b' | capitalize }}",
        "\U0001D7D0x2True\U00010400b")]
    [InlineData("{{ tools is none }}{{ tools is defined }}{{ 1 if tools else 2 }}", "TrueTrue2")]
    [InlineData("{{ 'they\u2019re ABC-def (ghi) a1b' | title }}|{{ \"they're ABC-def a1b\".title() }}|{{ 'aXbXa'.count('a') }}",
        "They\u2019re Abc-Def (Ghi) A1b|They'Re Abc-Def A1B|2")]
    [InlineData("{% filter trim | upper %}  a{{ 1 }}b {% endfilter %}|{% filter replace('x', 'y') %}x{% set z %}x{% endset %}{{ z }}{% endfilter %}", "A1B|yy")]
    [InlineData("{{ range(5, 0, -2) | list }}{{ range(3) | list }}", "[5, 3, 1][0, 1, 2]")]
    public void Templates_render_as_in_jinja(string template, string expected) =>
        Assert.Equal(expected, new ChatTemplate(template).Render(Two, addGenerationPrompt: false));

    [Theory]
    [InlineData("a\n{% include 'x' %}", "line 2")]
    [InlineData("{{ 'a' }", "line 1")]
    [InlineData("{% if true %}", "line 1")]
    [InlineData("{% endfor %}", "line 1")]
    [InlineData("{{ 1 | nothing }}", "line 1")]
    [InlineData("{{ 1 is nothing }}", "line 1")]
    [InlineData("\n\n{{ missing.x }}", "line 3")]
    [InlineData("{{ 'a' + 1 }}", "line 1")]
    [InlineData("{{ strftime_now('%d') }}", "line 1")]
    [InlineData("{{ 'open }}", "line 1")]
    [InlineData("{{ raise_exception('roles must alternate') }}", "roles must alternate")]
    [InlineData("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "line 1")]
    [InlineData("{{ 1 // 0 }}", "line 1")]
    [InlineData("{{ (-9223372036854775807 - 1) | abs }}", "line 1")]
    [InlineData("{{ -(-9223372036854775807 - 1) }}", "line 1")]
    [InlineData("{{ 9223372036854775807 + 1 }}", "line 1")]
    [InlineData("{{ 1e5 }}", "line 1")]
    [InlineData("{{ 'a' | replace('', 'b') }}", "line 1")]
    [InlineData("{{ raise_exception }}", "a function")]
    [InlineData("{{ [1] | tojson(sort_keys=true) }}", "sort_keys")]
    [InlineData("{{ 'a' | trim('b', 'c') }}", "arguments of 'trim'")]
    public void What_is_wrong_or_unsupported_names_its_line(string template, string part) =>
        Assert.Contains(part, Assert.Throws<HaloException>(() => new ChatTemplate(template).Render(Two, false)).Message);

    [Theory]
    [InlineData("{% for i in range(1000000) %}{% for j in range(1000000) %}{% endfor %}{% endfor %}")]
    [InlineData("{% set ns=namespace(s='aaaaaaaa') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}")]
    [InlineData("{% set ns=namespace(s='aaaaaaaa') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}")]
    [InlineData("{% set ns=namespace(s=[1,2]) %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}")]
    [InlineData("{% set ns=namespace(s=[1,2]) %}{% for i in range(60) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s }}")]
    [InlineData("{% set ns=namespace(s=[1,2]) %}{% for i in range(60) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s == [ns.s] }}{{ ns.s | tojson }}")]
    [InlineData("{% set ns=namespace(x=[], y=[]) %}{% for i in range(200000) %}{% set ns.x = [ns.x] %}{% set ns.y = [ns.y] %}{% endfor %}{{ ns.x == ns.y }}")]
    [InlineData("{% set ns=namespace(x=[]) %}{% for i in range(200000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}")]
    [InlineData("{% set ns=namespace(x=[]) %}{% for i in range(200000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x | tojson }}")]
    [InlineData("{{ [1,[2]]|tojson(indent=1000000000) }}")]
    [InlineData("{{ [1,[2]]|tojson(indent=9223372036854775807) }}")]
    [InlineData("{{ ('a' * 1000000) * 1000000 }}")]
    [InlineData("{{ 'a' * 9223372036854775807 }}")]
    [InlineData("{% for i in range(1000) %}{{ ('a' * 1000000) | replace('a', 'bb') | length }}{% endfor %}")]
    [InlineData("{% for i in range(1000000) %}{{ ('a' * 100000) in ('b' * 100000) }}{% endfor %}")]
    [InlineData("{% macro f(n) %}{{ f(n) }}{{ f(n) }}{% endmacro %}{{ f(1) }}")]
    [InlineData("{% macro f(n) %}{% if n > 0 %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}")]
    [InlineData("{% set l = range(100000) | list %}{% for i in l %}{{ -1 in l }}{% endfor %}")]
    public void What_would_not_end_or_take_all_memory_is_refused(string template)
    {
        var (before, begun) = (GC.GetAllocatedBytesForCurrentThread(), ThreadTime.Seconds);
        Assert.Throws<HaloException>(() => new ChatTemplate(template).Render(Two, false));
        Assert.InRange(ThreadTime.Seconds - begun, 0, 20);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 16L << 30); // most of it is gone at once
    }

    /// <summary>Long chains inside calls inside each other: depth that the parser does not see.</summary>
    [Fact]
    public void Calls_inside_long_expressions_do_not_end_the_process()
    {
        var chain = string.Concat(Enumerable.Repeat(" ~ 'a'", 400));
        var template = "{% macro f(n) %}{{ f(n + 1)" + chain + " }}{% endmacro %}{{ f(0) }}";
        var thread = new Thread(() => Assert.Throws<HaloException>(() => new ChatTemplate(template).Render(Two, false)), 256 << 10);
        thread.Start();
        thread.Join();
        Assert.Throws<HaloException>(() => new ChatTemplate(template).Render(Two, false));
    }

    [Fact]
    public void No_cut_of_a_template_gives_another_exception()
    {
        var template = Llama3 + ChatMl;
        for (var length = 0; length < template.Length; length++)
        {
            try { new ChatTemplate(template[..length]).Render(Two, true); }
            catch (HaloException) { /* the one exception that is allowed */ }
        }
        Assert.Throws<HaloException>(() => new ChatTemplate("{{" + new string('(', 100_000)));
        Assert.Throws<HaloException>(() => new ChatTemplate("{{" + string.Join('+', Enumerable.Repeat("1", 100_000)) + "}}"));
        Assert.Throws<HaloException>(() => new ChatTemplate(string.Concat(Enumerable.Repeat("{% if 1 %}", 10_000))));
    }

    [Fact]
    public void Llama_3_with_system_text_renders() => Assert.Equal(
        "<bos>system|Cutting: 2023\nDate: 26 Jul 2024\n\nbe brief;user|hi;assistant|",
        new ChatTemplate(Llama3, new Dictionary<string, string> { ["bos_token"] = "<bos>" }).Render([new("system", " be brief"), new("user", "hi ")], true));

    [Fact]
    public void White_space_behind_the_end_of_turn_is_not_the_assistants()
    {
        var chat = WithTemplate("{% for m in messages %}<|start_header_id|>{{ m.role }}\n{{ m.content }}<|eot_id|>\n{% endfor %}"
            + "{% if add_generation_prompt %}<|start_header_id|>assistant\n{% endif %}");
        var (ids, mask) = chat.Encode(Two);
        Assert.Equal(" b <|eot_id|>", chat.Tokenizer.Decode([.. ids.Where((_, i) => mask[i] == 1)], false));
    }

    [Fact]
    public void A_template_that_rewrites_history_is_an_error()
    {
        var chat = WithTemplate("{{ messages | length }}{% for m in messages %}{{ m.content }}{% endfor %}");
        Assert.Contains("rewrites", Assert.Throws<HaloException>(() => chat.Encode(Two)).Message);
    }

    private const string ChatMl =
        "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}";

    private const string Llama3 = """
        {{- bos_token }}
        {%- if custom_tools is defined %}
            {%- set tools = custom_tools %}
        {%- endif %}
        {%- if not date_string is defined %}
            {%- if strftime_now is defined %}
                {%- set date_string = strftime_now("%d %b %Y") %}
            {%- else %}
                {%- set date_string = "26 Jul 2024" %}
            {%- endif %}
        {%- endif %}
        {%- if not tools is defined %}
            {%- set tools = none %}
        {%- endif %}

        {#- This block extracts the system message. #}
        {%- if messages[0]['role'] == 'system' %}
            {%- set system_message = messages[0]['content']|trim %}
            {%- set messages = messages[1:] %}
        {%- else %}
            {%- set system_message = "" %}
        {%- endif %}
        {{- "system|" }}
        {%- if tools is not none %}
            {{- "Environment: ipython\n" }}
        {%- endif %}
        {{- "Cutting: 2023\n" }}
        {{- "Date: " + date_string + "\n\n" }}
        {{- system_message }}
        {{- ";" }}
        {%- for message in messages %}
            {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
                {{- message['role'] + '|'+ message['content'] | trim + ';' }}
            {%- elif 'tool_calls' in message %}
                {%- if not message.tool_calls|length == 1 %}
                    {{- raise_exception("This model only supports single tool-calls at once!") }}
                {%- endif %}
            {%- endif %}
        {%- endfor %}
        {%- if add_generation_prompt %}
            {{- 'assistant|' }}
        {%- endif %}
        """;

    private static ChatTokenizer WithTemplate(string template)
    {
        using var folder = new TemporaryFolder();
        File.Copy(Path.Combine(LlamaTiny.Folder, "tokenizer.json"), folder["tokenizer.json"]);
        File.WriteAllText(folder["tokenizer_config.json"], new JsonObject { ["chat_template"] = template }.ToJsonString());
        return new ChatTokenizer(HfTokenizer.Load(folder.Path));
    }
}
