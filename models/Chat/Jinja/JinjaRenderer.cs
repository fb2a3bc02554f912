using System.Text;

namespace Halo.Models.Chat.Jinja;

/// <summary>Runs a parsed template.</summary>
internal sealed class JinjaRenderer
{
    /// <summary>Calls inside calls; more would end the process instead of the rendering.</summary>
    private const int MaxDepth = 100;

    /// <summary>The scope of an iteration costs as much.</summary>
    private const int StepsOfIteration = 4;
    private readonly JinjaEvaluator _evaluator;
    private readonly JinjaScope _globals = new(null);
    private readonly JinjaBudget _budget;
    private readonly JinjaBeginnings? _beginnings;
    private readonly List<(int Start, int End)>? _generated;
    private StringBuilder _output = new();
    private int _depth, _loops, _captures;

    /// <summary>What is left to run around the statement at hand: bodies of if and of the template, each with its next statement.</summary>
    private readonly List<(List<JinjaStatement> Body, int Next, JinjaScope Scope)> _rest = [];

    /// <summary>Assignments to take back; null where none are.</summary>
    private List<(Dictionary<string, object?> Values, string Name, bool Was, object? Value)>? _undo;

    private enum Jump { None, Break, Continue }

    private JinjaRenderer(JinjaBudget budget, JinjaBeginnings? beginnings, List<(int Start, int End)>? generated)
    {
        (_budget, _beginnings, _generated) = (budget, beginnings, generated);
        _evaluator = new JinjaEvaluator(_globals, budget);
    }

    /// <param name="template">The statements.</param>
    /// <param name="variables">What the template can read.</param>
    /// <param name="budget">Who pays.</param>
    /// <param name="beginnings">Takes what the template renders of beginnings of the conversation, where that is known.</param>
    /// <param name="generated">Takes where the text of generation blocks stands, but for those inside a macro or set block, whose text may go anywhere.</param>
    /// <exception cref="HaloException">The template raised an exception or did what values do not allow, with its line.</exception>
    internal static string Render(
        List<JinjaStatement> template, IEnumerable<KeyValuePair<string, object?>> variables, JinjaBudget budget, JinjaBeginnings? beginnings = null,
        List<(int Start, int End)>? generated = null)
    {
        var renderer = new JinjaRenderer(budget, beginnings, generated);
        var globals = renderer._globals.Values;
        globals["raise_exception"] = (JinjaFunction)((arguments, _, site) =>
            throw new HaloException("chat-template", $"line {site.Line}", "a conversation that the template takes",
                PythonText.Str(arguments.ElementAtOrDefault(0), site).TrimEnd('.'),
                "Change the conversation."));
        globals["namespace"] = (JinjaFunction)Namespace;
        globals["dict"] = (JinjaFunction)((_, named, site) =>
        {
            site.MakeItems(4 * named.Count);
            return new OrderedDictionary<string, object?>(named);
        });
        globals["range"] = (JinjaFunction)Range;
        foreach (var (name, value) in variables) globals[name] = value;
        budget.Start();
        renderer.Run(template, new JinjaScope(renderer._globals));
        return renderer._output.ToString();
    }

    private static JinjaNamespace Namespace(List<object?> positional, Dictionary<string, object?> named, JinjaSite site)
    {
        if (positional.Count > 0) throw JinjaError.At(site, "namespace(name=value)", "a value without a name");
        var space = new JinjaNamespace();
        foreach (var (name, value) in named) space.Attributes[name] = value;
        return space;
    }

    private static List<object?> Range(List<object?> positional, Dictionary<string, object?> named, JinjaSite site)
    {
        var bounds = positional.Select(value => JinjaValues.Integer(value, site)).ToList();
        var (start, stop, step) = bounds switch
        {
            [var n] => (0, n, 1),
            [var a, var b] => (a, b, 1),
            [var a, var b, var c] when c != 0 => (a, b, c),
            _ => throw JinjaError.At(site, "range(stop), range(start, stop) or range(start, stop, step)", $"{bounds.Count} arguments"),
        };
        var count = Int128.Max(0, ((Int128)stop - start + (step > 0 ? (Int128)step - 1 : (Int128)step + 1)) / step);
        if (count > 1 << 20) throw JinjaError.At(site, "a range of at most 2^20 items", "more");
        site.MakeItems((long)count);
        return [.. Enumerable.Range(0, (int)count).Select(i => (object?)(start + i * step))];
    }

    private Jump Run(List<JinjaStatement> body, JinjaScope scope) => Run(body, 0, scope);

    private Jump Run(List<JinjaStatement> body, int first, JinjaScope scope)
    {
        _rest.Add(default);
        var jump = Jump.None;
        for (var i = first; i < body.Count && jump == Jump.None; i++)
        {
            _rest[^1] = (body, i + 1, scope);
            jump = Run(body[i], scope);
        }
        _rest.RemoveAt(_rest.Count - 1);
        return jump;
    }

    private Jump Run(JinjaStatement statement, JinjaScope scope)
    {
        _budget.Step(statement.Line);
        switch (statement)
        {
            case TextStatement text: Write(text.Text, text.Line); break;
            case PrintStatement print:
                Write(PythonText.Str(_evaluator.Evaluate(print.Value, scope), new JinjaSite(print.Line, _budget)), print.Line);
                break;
            case BlockStatement block:
                var start = _output.Length;
                var end = Run(block.Body, scope);
                if (_captures == 0 && _undo is null && _output.Length > start) _generated?.Add((start, _output.Length));
                return end;
            case FilterStatement filter:
                var inner = new JinjaScope(scope);
                inner.Values[FilterStatement.Text] = Captured(() => Run(filter.Body, inner));
                Write(PythonText.Str(_evaluator.Evaluate(filter.Value, inner), new JinjaSite(filter.Line, _budget)), filter.Line);
                break;
            case IfStatement choice:
                foreach (var (condition, body) in choice.Branches)
                    if (condition is null || JinjaValues.IsTrue(_evaluator.Unseen(condition, scope))) return Run(body, scope);
                break;
            case ForStatement loop: Loop(loop, scope); break;
            case SetStatement set: Set(set, scope); break;
            case MacroStatement macro:
                new JinjaSite(macro.Line, _budget).MakeItems(32); // keeps the scope that it stands in
                Assign(scope.Values, macro.Name, Function(macro, scope));
                break;
            case JumpStatement jump: return jump.IsBreak ? Jump.Break : Jump.Continue;
        }
        return Jump.None;
    }

    private void Write(string text, int line)
    {
        _budget.Make(line, text.Length);
        _output.Append(text);
    }

    private void Loop(ForStatement loop, JinjaScope outer)
    {
        var site = new JinjaSite(loop.Line, _budget);
        var looped = _evaluator.Unseen(loop.Items, outer);
        if (looped is JinjaTurns turns && loop.Filter is null && _loops == 0 && _captures == 0) { Loop(loop, outer, turns); return; }
        var items = JinjaValues.Items(looped is JinjaTurns all ? all.Of.From(all.First, site) : looped, site);
        if (loop.Filter is not null) items = [.. items.Where(item => JinjaValues.IsTrue(_evaluator.Evaluate(loop.Filter, Bound(loop, outer, item))))];
        if (items.Count == 0) { Run(loop.Else, outer); return; }
        for (var i = 0; i < items.Count; i++)
            if (Iteration(loop, Bound(loop, outer, items[i]), new JinjaLoop(i, items, null)) == Jump.Break) break;
    }

    /// <summary>The loop over the conversation: before a turn, nothing tells the template whether another one follows it.</summary>
    private void Loop(ForStatement loop, JinjaScope outer, JinjaTurns turns)
    {
        if (!turns.Of.Has(turns.First)) { Run(loop.Else, outer); return; }
        for (var i = turns.First; i < turns.Of.Count; i++)
        {
            foreach (var prompt in (bool[])[false, true])
            {
                if (_undo is null && _beginnings is not null && !turns.Of.IsLengthSeen && turns.Of.Needed <= i + 1 && _beginnings.IsWanted(i + 1, prompt))
                    RenderAsLast(loop, outer, turns, i, prompt);
            }
            turns.Of.Has(i);
            if (Iteration(loop, Bound(loop, outer, turns.Of[i]), new JinjaLoop(i - turns.First, null, turns)) == Jump.Break) return;
        }
        turns.Of.IsLengthSeen = true;
    }

    /// <summary>Renders to the end as if turn <paramref name="i"/> were the last, notes what is written, and takes everything back.</summary>
    private void RenderAsLast(ForStatement loop, JinjaScope outer, JinjaTurns turns, int i, bool prompt)
    {
        var (of, output, length, depths) = (turns.Of, _output, _output.Length, (_depth, _budget.Depth));
        var (count, needed, rest) = (of.Count, of.Needed, _rest.ToList());
        _undo = [];
        of.Count = i + 1;
        try
        {
            Assign(_globals.Values, "add_generation_prompt", prompt);
            Iteration(loop, Bound(loop, outer, of[i]), new JinjaLoop(i - turns.First, null, turns));
            for (var frame = rest.Count - 1; frame >= 0; frame--)
                if (Run(rest[frame].Body, rest[frame].Next, rest[frame].Scope) != Jump.None) break;
            _beginnings!.Add(i + 1, prompt, length, _output.ToString(length, _output.Length - length));
        }
        catch (HaloException) { /* whoever renders this beginning by itself is told why */ }
        for (var at = _undo.Count - 1; at >= 0; at--)
        {
            if (_undo[at].Was) _undo[at].Values[_undo[at].Name] = _undo[at].Value;
            else _undo[at].Values.Remove(_undo[at].Name);
        }
        (_undo, _output, _output.Length) = (null, output, length);
        (_loops, _captures, _depth) = (0, 0, depths._depth);
        _budget.Return(depths.Depth);
        (of.Count, of.Needed, of.IsLengthSeen) = (count, needed, false);
        _rest.Clear();
        _rest.AddRange(rest);
    }

    private Jump Iteration(ForStatement loop, JinjaScope scope, JinjaLoop variable)
    {
        scope.Values["loop"] = variable;
        _loops++;
        var jump = Run(loop.Body, scope);
        _loops--;
        return jump;
    }

    private JinjaScope Bound(ForStatement loop, JinjaScope outer, object? item)
    {
        var site = new JinjaSite(loop.Line, _budget);
        _budget.Step(loop.Line, StepsOfIteration);
        var scope = new JinjaScope(outer);
        if (loop.Names.Count == 1)
        {
            scope.Values[loop.Names[0]] = item;
            return scope;
        }
        var parts = JinjaValues.Items(item, site);
        if (parts.Count != loop.Names.Count) throw JinjaError.At(site, $"{loop.Names.Count} values an item", $"{parts.Count}");
        foreach (var (name, part) in loop.Names.Zip(parts)) scope.Values[name] = part;
        return scope;
    }

    private void Set(SetStatement set, JinjaScope scope)
    {
        var value = set.Value is not null ? _evaluator.Unseen(set.Value, scope) : Captured(() => Run(set.Body!, scope));
        if (set.Attribute is null) Assign(scope.Values, set.Name, value);
        else if (scope.Find(set.Name, out var target) && target is JinjaNamespace space) Assign(space.Attributes, set.Attribute, value);
        else throw JinjaError.At(set.Line, $"a namespace '{set.Name}'", JinjaValues.Described(target ?? new Undefined(set.Name)));
    }

    private void Assign(Dictionary<string, object?> values, string name, object? value)
    {
        _undo?.Add((values, name, values.TryGetValue(name, out var old), old));
        values[name] = value;
    }

    private JinjaFunction Function(MacroStatement macro, JinjaScope definition) => (positional, named, site) =>
    {
        if (positional.Count > macro.Parameters.Count)
            throw JinjaError.At(site, $"at most {macro.Parameters.Count} arguments of {macro.Name}", $"{positional.Count}");
        if (named.Keys.FirstOrDefault(key => macro.Parameters.All(p => p.Name != key)) is { } unknown)
            throw JinjaError.At(site, $"a parameter of {macro.Name}", $"'{unknown}'");
        var scope = new JinjaScope(definition);
        foreach (var (index, (name, absent)) in macro.Parameters.Index())
            scope.Values[name] = index < positional.Count ? positional[index] : named.TryGetValue(name, out var value) ? value
                : absent is null ? new Undefined(name) : _evaluator.Evaluate(absent, scope);
        if (++_depth > MaxDepth) throw JinjaError.At(site, $"at most {MaxDepth} calls inside each other", "more");
        var text = Captured(() => Run(macro.Body, scope));
        _depth--;
        return text;
    };

    private string Captured(Action run)
    {
        var outer = _output;
        _output = new StringBuilder();
        _captures++;
        run();
        _captures--;
        var text = _output.ToString();
        _output = outer;
        return text;
    }
}

/// <summary>What a template renders of the beginnings of a conversation, as far as one rendering of the whole tells.</summary>
internal sealed class JinjaBeginnings(IReadOnlySet<(int Turns, bool Prompt)> wanted)
{
    private readonly Dictionary<(int Turns, bool Prompt), (int Shared, string Tail)> _found = [];

    internal bool IsWanted(int turns, bool prompt) => wanted.Contains((turns, prompt));

    internal void Add(int turns, bool prompt, int shared, string rest) => _found[(turns, prompt)] = (shared, rest);

    /// <summary>Null where it is not known: that beginning has to be rendered by itself.</summary>
    /// <returns>Characters that are those of the whole, and the text that follows them.</returns>
    internal (int Shared, string Tail)? Of(int turns, bool prompt) => _found.TryGetValue((turns, prompt), out var found) ? found : null;
}
