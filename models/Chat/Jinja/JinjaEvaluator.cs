namespace Halo.Models.Chat.Jinja;

/// <summary>Computes expressions in a chain of scopes.</summary>
internal sealed class JinjaEvaluator(JinjaScope globals)
{
    internal object? Evaluate(JinjaExpression expression, JinjaScope scope)
    {
        object? Value(JinjaExpression part) => Evaluate(part, scope);
        switch (expression)
        {
            case LiteralExpression literal: return literal.Value;
            case NameExpression name: return scope.Find(name.Name, out var found) || globals.Find(name.Name, out found) ? found : new Undefined(name.Name);
            case ListExpression list: return list.Items.Select(Value).ToList();
            case MapExpression map:
                var result = new OrderedDictionary<string, object?>();
                foreach (var (key, value) in map.Items) result[JinjaValues.Text(Value(key), map.Line)] = Value(value);
                return result;
            case ChoiceExpression choice:
                return JinjaValues.IsTrue(Value(choice.Condition)) ? Value(choice.Then) : choice.Else is null ? new Undefined("else") : Value(choice.Else);
            case UnaryExpression { Operator: "not" } not: return !JinjaValues.IsTrue(Value(not.Operand));
            case UnaryExpression sign:
                return Value(sign.Operand) switch
                {
                    long number => (object)(sign.Operator == "-" ? -number : number),
                    double number => sign.Operator == "-" ? -number : number,
                    var other => throw JinjaError.At(sign.Line, "a number", JinjaValues.Described(other)),
                };
            case BinaryExpression binary: return Binary(binary, scope);
            case ItemExpression item: return Item(Value(item.Target), Value(item.Key), item.Line);
            case SliceExpression slice:
                long? Bound(JinjaExpression? part) => part is null || Value(part) is not { } bound ? null : JinjaValues.Integer(bound, slice.Line);
                return JinjaValues.Slice(Value(slice.Target), Bound(slice.Start), Bound(slice.Stop), Bound(slice.Step) ?? 1, slice.Line);
            case CallExpression call:
                var function = Value(call.Target) as JinjaFunction
                    ?? throw JinjaError.At(call.Line, "something to call", JinjaValues.Described(Value(call.Target)));
                return function(Positional(call.Arguments, scope), Named(call.Arguments, scope), call.Line);
            case FilterExpression filter:
                return JinjaFilters.Apply(filter.Name, Value(filter.Operand), Positional(filter.Arguments, scope), Named(filter.Arguments, scope), filter.Line);
            case TestExpression test: return JinjaFilters.Test(test.Name, Value(test.Operand), Positional(test.Arguments, scope), test.Line);
            default: throw new NotSupportedException(expression.GetType().Name);
        }
    }

    private List<object?> Positional(JinjaArguments arguments, JinjaScope scope) => [.. arguments.Positional.Select(a => Evaluate(a, scope))];

    private Dictionary<string, object?> Named(JinjaArguments arguments, JinjaScope scope)
    {
        var named = new Dictionary<string, object?>();
        foreach (var (name, value) in arguments.Named) named[name] = Evaluate(value, scope);
        return named;
    }

    private object? Binary(BinaryExpression binary, JinjaScope scope)
    {
        var left = Evaluate(binary.Left, scope);
        if (binary.Operator == "and") return JinjaValues.IsTrue(left) ? Evaluate(binary.Right, scope) : left;
        if (binary.Operator == "or") return JinjaValues.IsTrue(left) ? left : Evaluate(binary.Right, scope);
        var right = Evaluate(binary.Right, scope);
        return binary.Operator switch
        {
            "==" => JinjaValues.AreEqual(left, right),
            "!=" => !JinjaValues.AreEqual(left, right),
            "in" => JinjaValues.Contains(right, left, binary.Line),
            "~" => PythonText.Str(left) + PythonText.Str(right),
            "<" or "<=" or ">" or ">=" => Compare(binary, left, right),
            _ => Arithmetic(binary, left, right),
        };
    }

    private static bool Compare(BinaryExpression binary, object? left, object? right)
    {
        var order = left is string a && right is string b ? string.CompareOrdinal(a, b)
            : JinjaValues.Number(left) is { } x && JinjaValues.Number(right) is { } y ? x.CompareTo(y)
            : throw JinjaError.At(binary.Line, "two numbers or two texts to compare",
                $"{JinjaValues.Described(left)} {binary.Operator} {JinjaValues.Described(right)}");
        return binary.Operator switch { "<" => order < 0, "<=" => order <= 0, ">" => order > 0, _ => order >= 0 };
    }

    private static object? Arithmetic(BinaryExpression binary, object? left, object? right) => (binary.Operator, left, right) switch
    {
        ("+", string a, string b) => a + b,
        ("+", List<object?> a, List<object?> b) => a.Concat(b).ToList(),
        ("+", long a, long b) => a + b,
        ("-", long a, long b) => a - b,
        ("*", long a, long b) => a * b,
        ("*", string a, long b) when b <= 1 << 20 => string.Concat(Enumerable.Repeat(a, (int)Math.Max(b, 0))),
        ("//", long a, long b) when b != 0 => (long)Math.Floor((double)a / b),
        ("%", long a, long b) when b is not (0 or -1) => (a % b + b) % b,
        ("+" or "-" or "*" or "/", _, _) when JinjaValues.Number(left) is { } a && JinjaValues.Number(right) is { } b && !(binary.Operator == "/" && b == 0) =>
            binary.Operator switch { "+" => a + b, "-" => a - b, "*" => a * b, _ => a / b },
        _ => throw JinjaError.At(binary.Line, $"values that '{binary.Operator}' takes",
            $"{JinjaValues.Described(left)} {binary.Operator} {JinjaValues.Described(right)}"),
    };

    private static object? Item(object? target, object? key, int line)
    {
        switch (target, key)
        {
            case (Undefined missing, _): throw JinjaError.At(line, $"a value to read '{PythonText.Str(key)}' from", JinjaValues.Described(missing));
            case (OrderedDictionary<string, object?> map, string name) when map.TryGetValue(name, out var value): return value;
            case (JinjaNamespace space, string name): return space.Attributes.TryGetValue(name, out var attribute) ? attribute : new Undefined(name);
            case (List<object?> list, long index):
                return index + (index < 0 ? list.Count : 0) is var at && at >= 0 && at < list.Count ? list[(int)at] : new Undefined($"[{index}]");
            case (string, long index):
                return JinjaValues.Slice(target, index, index == -1 ? null : index + 1, 1, line) is string { Length: > 0 } one ? one
                    : new Undefined($"[{index}]");
            case (_, string name): return (object?)JinjaMethods.Of(target, name) ?? new Undefined(name);
            default: return new Undefined(PythonText.Str(key));
        }
    }
}

/// <summary>Names and their values; a loop or macro adds a scope that ends with it.</summary>
internal sealed class JinjaScope(JinjaScope? outer)
{
    private readonly Dictionary<string, object?> _values = [];

    internal object? this[string name] { set => _values[name] = value; }

    internal bool Find(string name, out object? value) => _values.TryGetValue(name, out value) || (outer is not null && outer.Find(name, out value));
}
