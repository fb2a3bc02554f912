using System.Text;

namespace Halo.Models.Chat.Jinja;

/// <summary>Runs a parsed template.</summary>
internal sealed class JinjaRenderer
{
    /// <summary>Calls inside calls; more would end the process instead of the rendering.</summary>
    private const int MaxDepth = 100;
    private readonly JinjaEvaluator _evaluator;
    private readonly JinjaScope _globals = new(null);
    private StringBuilder _output = new();
    private int _depth;

    private enum Jump { None, Break, Continue }

    private JinjaRenderer() => _evaluator = new JinjaEvaluator(_globals);

    /// <exception cref="HaloException">The template raised an exception or did what values do not allow, with its line.</exception>
    internal static string Render(List<JinjaStatement> template, IEnumerable<KeyValuePair<string, object?>> variables)
    {
        var renderer = new JinjaRenderer();
        renderer._globals["raise_exception"] = (JinjaFunction)((arguments, _, line) =>
            throw new HaloException("chat-template", $"line {line}", "a conversation that the template takes",
                PythonText.Str(arguments.ElementAtOrDefault(0)).TrimEnd('.'),
                "Change the conversation."));
        renderer._globals["namespace"] = (JinjaFunction)Namespace;
        renderer._globals["dict"] = (JinjaFunction)((_, named, _) => new OrderedDictionary<string, object?>(named));
        renderer._globals["range"] = (JinjaFunction)Range;
        var scope = new JinjaScope(renderer._globals);
        foreach (var (name, value) in variables) renderer._globals[name] = value;
        renderer.Run(template, scope);
        return renderer._output.ToString();
    }

    private static JinjaNamespace Namespace(List<object?> positional, Dictionary<string, object?> named, int line)
    {
        var space = new JinjaNamespace();
        foreach (var (name, value) in named) space.Attributes[name] = value;
        return space;
    }

    private static List<object?> Range(List<object?> positional, Dictionary<string, object?> named, int line)
    {
        var bounds = positional.Select(value => JinjaValues.Integer(value, line)).ToList();
        var (start, stop, step) = bounds switch
        {
            [var n] => (0, n, 1),
            [var a, var b] => (a, b, 1),
            [var a, var b, var c] when c != 0 => (a, b, c),
            _ => throw JinjaError.At(line, "range(stop), range(start, stop) or range(start, stop, step)", $"{bounds.Count} arguments"),
        };
        var result = new List<object?>();
        for (var i = start; step > 0 ? i < stop : i > stop; i += step)
        {
            if (result.Count >= 1 << 20) throw JinjaError.At(line, "a range of at most 2^20 items", "more");
            result.Add(i);
        }
        return result;
    }

    private Jump Run(List<JinjaStatement> body, JinjaScope scope)
    {
        foreach (var statement in body)
            if (Run(statement, scope) is not Jump.None and var jump) return jump;
        return Jump.None;
    }

    private Jump Run(JinjaStatement statement, JinjaScope scope)
    {
        switch (statement)
        {
            case TextStatement text: _output.Append(text.Text); break;
            case PrintStatement print: _output.Append(PythonText.Str(_evaluator.Evaluate(print.Value, scope))); break;
            case BlockStatement block: return Run(block.Body, scope);
            case IfStatement choice:
                foreach (var (condition, body) in choice.Branches)
                    if (condition is null || JinjaValues.IsTrue(_evaluator.Evaluate(condition, scope))) return Run(body, scope);
                break;
            case ForStatement loop: Loop(loop, scope); break;
            case SetStatement set: Set(set, scope); break;
            case MacroStatement macro: scope[macro.Name] = Function(macro, scope); break;
            case JumpStatement jump: return jump.IsBreak ? Jump.Break : Jump.Continue;
        }
        return Jump.None;
    }

    private void Loop(ForStatement loop, JinjaScope outer)
    {
        var items = new List<JinjaScope>();
        var values = new List<object?>();
        foreach (var item in JinjaValues.Items(_evaluator.Evaluate(loop.Items, outer), loop.Line))
        {
            var scope = new JinjaScope(outer);
            Bind(loop, scope, item);
            if (loop.Filter is not null && !JinjaValues.IsTrue(_evaluator.Evaluate(loop.Filter, scope))) continue;
            items.Add(scope);
            values.Add(item);
        }
        if (items.Count == 0) Run(loop.Else, outer);
        for (var i = 0; i < items.Count; i++)
        {
            items[i]["loop"] = new OrderedDictionary<string, object?>
            {
                ["index"] = i + 1L,
                ["index0"] = (long)i,
                ["revindex"] = (long)(items.Count - i),
                ["revindex0"] = items.Count - i - 1L,
                ["first"] = i == 0,
                ["last"] = i == items.Count - 1,
                ["length"] = (long)items.Count,
                ["previtem"] = i > 0 ? values[i - 1] : new Undefined("loop.previtem"),
                ["nextitem"] = i + 1 < items.Count ? values[i + 1] : new Undefined("loop.nextitem"),
            };
            if (Run(loop.Body, items[i]) == Jump.Break) break;
        }
    }

    private static void Bind(ForStatement loop, JinjaScope scope, object? item)
    {
        if (loop.Names.Count == 1) { scope[loop.Names[0]] = item; return; }
        var parts = JinjaValues.Items(item, loop.Line);
        if (parts.Count != loop.Names.Count) throw JinjaError.At(loop.Line, $"{loop.Names.Count} values an item", $"{parts.Count}");
        foreach (var (name, part) in loop.Names.Zip(parts)) scope[name] = part;
    }

    private void Set(SetStatement set, JinjaScope scope)
    {
        var value = set.Value is not null ? _evaluator.Evaluate(set.Value, scope) : Captured(() => Run(set.Body!, scope));
        if (set.Attribute is null) scope[set.Name] = value;
        else if (scope.Find(set.Name, out var target) && target is JinjaNamespace space) space.Attributes[set.Attribute] = value;
        else throw JinjaError.At(set.Line, $"a namespace '{set.Name}'", JinjaValues.Described(target ?? new Undefined(set.Name)));
    }

    private JinjaFunction Function(MacroStatement macro, JinjaScope definition) => (positional, named, line) =>
    {
        if (positional.Count > macro.Parameters.Count)
            throw JinjaError.At(line, $"at most {macro.Parameters.Count} arguments of {macro.Name}", $"{positional.Count}");
        if (named.Keys.FirstOrDefault(key => macro.Parameters.All(p => p.Name != key)) is { } unknown)
            throw JinjaError.At(line, $"a parameter of {macro.Name}", $"'{unknown}'");
        var scope = new JinjaScope(definition);
        foreach (var (index, (name, absent)) in macro.Parameters.Index())
            scope[name] = index < positional.Count ? positional[index] : named.TryGetValue(name, out var value) ? value
                : absent is null ? new Undefined(name) : _evaluator.Evaluate(absent, scope);
        if (++_depth > MaxDepth) throw JinjaError.At(line, $"at most {MaxDepth} calls inside each other", "more");
        var text = Captured(() => Run(macro.Body, scope));
        _depth--;
        return text;
    };

    private string Captured(Action run)
    {
        var outer = _output;
        _output = new StringBuilder();
        run();
        var text = _output.ToString();
        _output = outer;
        return text;
    }
}
