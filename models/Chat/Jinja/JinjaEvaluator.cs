namespace Halo.Models.Chat.Jinja;

/// <summary>Computes expressions in a chain of scopes.</summary>
internal sealed class JinjaEvaluator(JinjaScope globals, JinjaBudget budget)
{
    /// <summary>A value; turns of the conversation come as a list, whose length is then known.</summary>
    internal object? Evaluate(JinjaExpression expression, JinjaScope scope) => Seen(Unseen(expression, scope), expression.Line);

    /// <summary>A value; turns of the conversation may come without being looked at.</summary>
    internal object? Unseen(JinjaExpression expression, JinjaScope scope)
    {
        budget.Enter(expression.Line);
        var value = Compute(expression, scope);
        budget.Leave();
        return value;
    }

    private object? Compute(JinjaExpression expression, JinjaScope scope)
    {
        object? Value(JinjaExpression part) => Evaluate(part, scope);
        var site = new JinjaSite(expression.Line, budget);
        switch (expression)
        {
            case LiteralExpression literal: return literal.Value;
            case NameExpression name: return scope.Find(name.Name, out var found) || globals.Find(name.Name, out found) ? found : new Undefined(name.Name);
            case ListExpression list:
                site.MakeItems(list.Items.Count);
                return list.Items.Select(Value).ToList();
            case MapExpression map:
                site.MakeItems(4 * map.Items.Count);
                var result = new OrderedDictionary<string, object?>();
                foreach (var (key, value) in map.Items) result[JinjaValues.Text(Value(key), site)] = Value(value);
                return result;
            case ChoiceExpression choice:
                return JinjaValues.IsTrue(Unseen(choice.Condition, scope)) ? Unseen(choice.Then, scope)
                    : choice.Else is null ? new Undefined("else") : Unseen(choice.Else, scope);
            case UnaryExpression { Operator: "not" } not: return !JinjaValues.IsTrue(Unseen(not.Operand, scope));
            case UnaryExpression sign:
                return Value(sign.Operand) switch
                {
                    long.MinValue when sign.Operator == "-" => throw JinjaError.At(site, "a number of 64 bits", "one more"),
                    long number => (object)(sign.Operator == "-" ? -number : number),
                    double number => sign.Operator == "-" ? -number : number,
                    var other => throw JinjaError.At(site, "a number", JinjaValues.Described(other)),
                };
            case BinaryExpression binary: return Binary(binary, scope, site);
            case ItemExpression item:
                var target = Unseen(item.Target, scope);
                var place = Value(item.Key);
                if (target is JinjaTurns turns && place is long at and >= 0)
                    return at < int.MaxValue - turns.First && turns.Of.Has(turns.First + (int)at) ? turns.Of[turns.First + (int)at] : new Undefined($"[{at}]");
                return Item(Seen(target, item.Line), place, item.IsAttribute, site);
            case SliceExpression slice: return Slice(slice, scope, site);
            case CallExpression call:
                var callee = Value(call.Target);
                var function = callee as JinjaFunction ?? throw JinjaError.At(site, "something to call", JinjaValues.Described(callee));
                return function(Positional(call.Arguments, scope), Named(call.Arguments, scope), site);
            case FilterExpression filter:
                return JinjaFilters.Apply(filter.Name, Value(filter.Operand), Positional(filter.Arguments, scope), Named(filter.Arguments, scope), site);
            case TestExpression test:
                var tested = Unseen(test.Operand, scope);
                tested = tested is JinjaTurns && JinjaFilters.IsOfKind(test.Name) ? new List<object?>() : Seen(tested, test.Line);
                return JinjaFilters.Test(test.Name, tested, Positional(test.Arguments, scope), site);
            default: throw new NotSupportedException(expression.GetType().Name);
        }
    }

    private object? Seen(object? value, int line) => value is JinjaTurns turns ? turns.Of.From(turns.First, new JinjaSite(line, budget)) : value;

    private List<object?> Positional(JinjaArguments arguments, JinjaScope scope) => [.. arguments.Positional.Select(a => Evaluate(a, scope))];

    private Dictionary<string, object?> Named(JinjaArguments arguments, JinjaScope scope)
    {
        var named = new Dictionary<string, object?>();
        foreach (var (name, value) in arguments.Named) named[name] = Evaluate(value, scope);
        return named;
    }

    private object? Slice(SliceExpression slice, JinjaScope scope, JinjaSite site)
    {
        long? Bound(JinjaExpression? part) => part is null || Evaluate(part, scope) is not { } bound ? null : JinjaValues.Integer(bound, site);
        var target = Unseen(slice.Target, scope);
        var (start, stop, step) = (Bound(slice.Start), Bound(slice.Stop), Bound(slice.Step));
        if (target is JinjaTurns turns && (start ?? 0) >= 0 && stop is null && (step ?? 1) == 1)
            return turns with { First = turns.First + (int)Math.Min(start ?? 0, int.MaxValue - turns.First) };
        return JinjaValues.Slice(Seen(target, slice.Line), start, stop, step ?? 1, site);
    }

    private object? Binary(BinaryExpression binary, JinjaScope scope, JinjaSite site)
    {
        if (binary.Operator is "and" or "or")
        {
            var first = Unseen(binary.Left, scope);
            return JinjaValues.IsTrue(first) == (binary.Operator == "and") ? Unseen(binary.Right, scope) : first;
        }
        var (left, right) = (Evaluate(binary.Left, scope), Evaluate(binary.Right, scope));
        switch (binary.Operator)
        {
            case "==": return JinjaValues.AreEqual(left, right, site);
            case "!=": return !JinjaValues.AreEqual(left, right, site);
            case "in": return JinjaValues.Contains(right, left, site);
            case "~": return Joined(PythonText.Str(left, site), PythonText.Str(right, site), site);
            case "<" or "<=" or ">" or ">=": return Compare(binary, left, right, site);
        }
        try { return Arithmetic(binary.Operator, left, right, site); }
        catch (OverflowException) { throw JinjaError.At(site, "numbers of 64 bits", "larger ones"); }
    }

    private static bool Compare(BinaryExpression binary, object? left, object? right, JinjaSite site)
    {
        if (left is string text) site.Read(text.Length);
        var order = left is string a && right is string b ? string.CompareOrdinal(a, b)
            : left is long m && right is long n ? m.CompareTo(n)
            : JinjaValues.Number(left) is { } x && JinjaValues.Number(right) is { } y ? x.CompareTo(y)
            : throw JinjaError.At(site, "two numbers or two texts to compare",
                $"{JinjaValues.Described(left)} {binary.Operator} {JinjaValues.Described(right)}");
        return binary.Operator switch { "<" => order < 0, "<=" => order <= 0, ">" => order > 0, _ => order >= 0 };
    }

    private static object? Arithmetic(string word, object? left, object? right, JinjaSite site)
    {
        switch (word, left, right)
        {
            case ("+", string a, string b): return Joined(a, b, site);
            case ("+", List<object?> a, List<object?> b):
                site.MakeItems((long)a.Count + b.Count);
                return a.Concat(b).ToList();
            case ("+", long a, long b): return checked(a + b);
            case ("-", long a, long b): return checked(a - b);
            case ("*", long a, long b): return checked(a * b);
            case ("*", string a, long b):
                site.Make((long)Int128.Min(Math.Max(b, 0) * (Int128)a.Length, long.MaxValue));
                return b <= 0 || a.Length == 0 ? "" : string.Concat(Enumerable.Repeat(a, (int)b));
            case ("//", long a, long b) when b != 0: return checked(a / b) - (a % b != 0 && a < 0 != b < 0 ? 1 : 0);
            case ("%", long a, long b) when b != 0: return b == -1 ? 0 : (a % b + b) % b;
        }
        return word is "+" or "-" or "*" or "/" && JinjaValues.Number(left) is { } x && JinjaValues.Number(right) is { } y && !(word == "/" && y == 0)
            ? word switch { "+" => x + y, "-" => x - y, "*" => x * y, _ => x / y }
            : throw JinjaError.At(site, $"values that '{word}' takes", $"{JinjaValues.Described(left)} {word} {JinjaValues.Described(right)}");
    }

    private static string Joined(string a, string b, JinjaSite site)
    {
        site.Make((long)a.Length + b.Length);
        return a + b;
    }

    private static object? Item(object? target, object? key, bool isAttribute, JinjaSite site)
    {
        if (isAttribute && key is string method && target is OrderedDictionary<string, object?> && JinjaMethods.Of(target, method) is { } called) return called;
        switch (target, key)
        {
            case (Undefined missing, _): throw JinjaError.At(site, $"a value to read {JinjaValues.Described(key)} from", JinjaValues.Described(missing));
            case (OrderedDictionary<string, object?> map, string name) when map.TryGetValue(name, out var value): return value;
            case (JinjaNamespace space, string name): return space.Attributes.TryGetValue(name, out var attribute) ? attribute : new Undefined(name);
            case (JinjaLoop loop, string name): return loop.Attribute(name, site) ?? new Undefined($"loop.{name}");
            case (List<object?> list, long index):
                return index + (index < 0 ? list.Count : 0) is var at && at >= 0 && at < list.Count ? list[(int)at] : new Undefined($"[{index}]");
            case (string, long index):
                return JinjaValues.Slice(target, index, index is -1 or long.MaxValue ? null : index + 1, 1, site) is string { Length: > 0 } one ? one
                    : new Undefined($"[{index}]");
            case (_, string name): return (object?)JinjaMethods.Of(target, name) ?? new Undefined(name);
            default: return new Undefined(JinjaValues.Described(key));
        }
    }
}

/// <summary>Names and their values; a loop or macro adds a scope that ends with it.</summary>
internal sealed class JinjaScope(JinjaScope? outer)
{
    internal Dictionary<string, object?> Values { get; } = [];

    internal bool Find(string name, out object? value) => Values.TryGetValue(name, out value) || (outer is not null && outer.Find(name, out value));
}
