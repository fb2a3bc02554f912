using System.Text.Json.Nodes;
using Halo.Models.Bundled;
using Halo.Models.Chat;
using Halo.Models.Tokenizers;

namespace Halo.Tests.Models;

/// <summary>Chat templates of kinds that models have, over the bundled tokenizer.</summary>
internal static class Templates
{
    private const string Turn = "{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}";
    private const string Prompt = "{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif %}";

    internal const string Plain = "{{- bos_token }}{%- for message in messages %}" + Turn + "{%- endfor %}" + Prompt;

    /// <summary>The generation prompt opens what answers do not have.</summary>
    internal const string Think = "{{- bos_token }}{%- for message in messages %}" + Turn + "{%- endfor %}"
        + "{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n<think>\n' }}{%- endif %}";

    /// <summary>The end of a turn is written by the next one.</summary>
    internal const string EndByNext = "{{ bos_token }}{% for m in messages %}{{ '<|eot_id|>' if not loop.first else '' }}"
        + "{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' + m.content }}{% endfor %}"
        + "{% if add_generation_prompt %}{{ '<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}";

    internal const string Tools = "<|start_header_id|>{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}"
        + "{{ m.role if m.role == 'user' else '' }}{{ m.content }}{% if m.role == 'assistant' %}<|eot_id|>{% endif %}{% endfor %}";

    /// <summary>What a rendering of the whole tells, and what it does not, of its beginnings.</summary>
    internal static readonly string[] Kinds =
    [
        Plain, EndByNext, Tools.Replace("{{ m.role if m.role == 'user' else '' }}", "", StringComparison.Ordinal),
        // The generation prompt inside the loop, at its last turn.
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}<|eot_id|>\n{% if loop.last and add_generation_prompt %}<assistant>{% endif %}{% endfor %}",
        // A system message taken out first, turns counted in a namespace, a macro, a set block.
        "{%- macro turn(m, n) %}[{{ n }}]{{ m.role }}:{{ m.content }}{%- endmacro %}{%- set ns = namespace(n=0) %}"
        + "{%- if messages[0]['role'] == 'system' %}{%- set rest = messages[1:] %}{{ messages[0].content }};{%- else %}{%- set rest = messages %}{%- endif %}"
        + "{%- if messages %}{%- for m in rest %}{%- set ns.n = ns.n + 1 %}{%- set t %}{{ turn(m, ns.n) }}{% endset %}{{ t }}<|eot_id|>{%- endfor %}{%- endif %}"
        + "{%- if add_generation_prompt %}[{{ ns.n + 1 }}]assistant:{%- endif %}",
        // What follows the loop looks at the turns.
        "{% for m in messages %}{{ m.role }}:{{ m.content }}<|eot_id|>{% endfor %}{% if add_generation_prompt %}"
        + "{{ 'assistant:' if messages[-1].role == 'user' or messages | length == 1 else 'assistant:' }}{% endif %}",
        // Two loops, the second over the answers.
        "{% for m in messages if m.role == 'system' %}{{ m.content }}{% endfor %}{% for m in messages %}{% if m.role != 'system' %}"
        + "{{ m.role }}:{{ m.content }}<|eot_id|>{% endif %}{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}",
        "{% for m in messages %}{% if m.role == 'system' %}{{ m.content }}{% break %}{% endif %}{% endfor %}{% for m in messages %}"
        + "{{ m.role }}:{{ m.content }}<|eot_id|>{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}",
        // Looks ahead and back, and stops where roles do not alternate.
        "{% for m in messages %}{% if loop.previtem is defined and loop.previtem.role == m.role %}{{ raise_exception('roles') }}{% endif %}"
        + "{{ m.role }}:{{ m.content }}{{ '' if loop.nextitem is defined else '' }}<|eot_id|>{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}",
        // Rewrites: the number of turns, what is left of them, an end that only the last turn has, thoughts of the last answer alone.
        "{{ messages | length }}{% for m in messages %}{{ m.role }}:{{ m.content }}<|eot_id|>{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}",
        "{% for m in messages %}{{ loop.revindex }}{{ m.role }}:{{ m.content }}<|eot_id|>{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}",
        "{% for m in messages %}{{ m.role }}:{{ m.content }}{% if loop.last %}<|eot_id|>{% endif %}{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}",
        "{% for m in messages %}{{ m.role }}:{{ m.content }}{{ messages[-1].content }}<|eot_id|>{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}",
        "{% set ns = namespace(last=-1) %}{% for m in messages[::-1] %}{% if ns.last < 0 and m.role == 'user' %}{% set ns.last = messages | length - 1 - loop.index0 %}"
        + "{% endif %}{% endfor %}{% for m in messages %}{{ m.role }}:{{ m.content }}{{ '!' if loop.index0 > ns.last else '' }}<|eot_id|>{% endfor %}"
        + "{% if add_generation_prompt %}assistant:{% endif %}",
    ];

    internal static ChatTokenizer Chat(string template)
    {
        using var folder = new TemporaryFolder();
        File.Copy(Path.Combine(LlamaTiny.Folder, "tokenizer.json"), folder["tokenizer.json"]);
        File.WriteAllText(folder["tokenizer_config.json"], new JsonObject { ["chat_template"] = template, ["bos_token"] = "<|begin_of_text|>" }.ToJsonString());
        return new ChatTokenizer(HfTokenizer.Load(folder.Path));
    }
}
