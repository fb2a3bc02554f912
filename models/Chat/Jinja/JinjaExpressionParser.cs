using System.Globalization;

namespace Halo.Models.Chat.Jinja;

/// <summary>Recursive descent over Jinja's expressions, loosest binding first. [Jinja, parser.py]</summary>
internal class JinjaExpressionParser(List<JinjaToken> tokens)
{
    /// <summary>Deeper nesting is no chat template; it would end the process instead of the reading.</summary>
    private const int MaxDepth = 64;
    private int _at, _depth;

    protected JinjaToken Current => tokens[_at];

    protected JinjaToken Take() => tokens[_at < tokens.Count - 1 ? _at++ : _at];

    protected bool Is(string text) => Current.Kind is JinjaTokenKind.Operator or JinjaTokenKind.Name && Current.Text == text;

    protected bool Accept(string text)
    {
        if (!Is(text)) return false;
        Take();
        return true;
    }

    protected void Expect(string text)
    {
        if (!Accept(text)) throw JinjaError.At(Current.Line, $"'{text}'", $"'{Current.Text}'");
    }

    protected string ExpectName() => Current.Kind == JinjaTokenKind.Name ? Take().Text : throw JinjaError.At(Current.Line, "a name", $"'{Current.Text}'");

    protected T Nested<T>(Func<T> parse)
    {
        if (++_depth > MaxDepth) throw JinjaError.At(Current.Line, $"at most {MaxDepth} levels of nesting", "more");
        var result = parse();
        _depth--;
        return result;
    }

    protected JinjaExpression Expression() => Nested(() =>
    {
        var value = Or();
        while (Is("if"))
        {
            var line = Take().Line;
            var condition = Or();
            value = new ChoiceExpression(condition, value, Accept("else") ? Expression() : null, line);
        }
        return value;
    });

    protected JinjaExpression Or() => Chain(And, "or");

    private JinjaExpression And() => Chain(Not, "and");

    private JinjaExpression Not() => Is("not") ? Nested(() => new UnaryExpression("not", Next(Not, out var line), line)) : Comparison();

    private JinjaExpression Comparison()
    {
        var left = Sum();
        JinjaExpression? result = null;
        while (ComparisonOperator() is { } word)
        {
            var line = Current.Line;
            var right = Sum();
            JinjaExpression one = word == "not in" ? new UnaryExpression("not", new BinaryExpression("in", left, right, line), line)
                : new BinaryExpression(word, left, right, line);
            result = result is null ? one : new BinaryExpression("and", result, one, line);
            left = right;
        }
        return result ?? left;
    }

    private string? ComparisonOperator()
    {
        if (Is("==") || Is("!=") || Is("<") || Is("<=") || Is(">") || Is(">=") || Is("in")) return Take().Text;
        if (!Is("not") || tokens[_at + 1].Text != "in") return null;
        Take();
        Take();
        return "not in";
    }

    private JinjaExpression Sum() => Chain(Concatenation, "+", "-");

    private JinjaExpression Concatenation() => Chain(Product, "~");

    private JinjaExpression Product() => Chain(Unary, "*", "/", "//", "%");

    private JinjaExpression Unary() => Is("-") || Is("+")
        ? Nested(() => Current.Text is var sign ? new UnaryExpression(sign, Next(Unary, out var line), line) : throw new InvalidOperationException())
        : Filtered(Postfix(Primary()));

    /// <summary>A value with the filters and tests behind it; <paramref name="isPiped"/> says that the first is a filter, its bar left out.</summary>
    protected JinjaExpression Filtered(JinjaExpression value, bool isPiped = false)
    {
        if (isPiped)
            value = Filter(value, Current.Line);
        while (Is("|") || Is("is"))
        {
            var (isFilter, line) = (Is("|"), Take().Line);
            if (isFilter)
            {
                value = Filter(value, line);
                continue;
            }
            var isNegated = Accept("not");
            var name = ExpectName();
            var arguments = Is("(") ? Arguments() : Current.Kind is JinjaTokenKind.String or JinjaTokenKind.Integer ? new JinjaArguments([Primary()], [])
                : JinjaArguments.None;
            value = new TestExpression(name, value, arguments, line);
            if (isNegated) value = new UnaryExpression("not", value, line);
        }
        return value;

        FilterExpression Filter(JinjaExpression operand, int line) => new(ExpectName(), operand, Is("(") ? Arguments() : JinjaArguments.None, line);
    }

    private JinjaExpression Postfix(JinjaExpression value)
    {
        while (true)
        {
            var line = Current.Line;
            if (Accept("."))
                value = new ItemExpression(value, Current.Kind == JinjaTokenKind.Integer ? Primary() : new LiteralExpression(ExpectName(), line),
                    IsAttribute: true, line);
            else if (Accept("[")) value = Subscript(value, line);
            else if (Is("(")) value = new CallExpression(value, Arguments(), line);
            else return value;
        }
    }

    private JinjaExpression Subscript(JinjaExpression target, int line)
    {
        var parts = new List<JinjaExpression?> { Is(":") ? null : Expression() };
        while (Accept(":")) parts.Add(Is(":") || Is("]") ? null : Expression());
        Expect("]");
        return parts.Count switch
        {
            1 => new ItemExpression(target, parts[0]!, IsAttribute: false, line),
            2 or 3 => new SliceExpression(target, parts[0], parts[1], parts.ElementAtOrDefault(2), line),
            _ => throw JinjaError.At(line, "a slice of at most three parts", $"{parts.Count}"),
        };
    }

    private JinjaExpression Primary()
    {
        var token = Take();
        switch (token.Kind)
        {
            case JinjaTokenKind.String:
                var text = token.Text;
                while (Current.Kind == JinjaTokenKind.String) text += Take().Text;
                return new LiteralExpression(text, token.Line);
            case JinjaTokenKind.Integer when long.TryParse(token.Text, out var number): return new LiteralExpression(number, token.Line);
            case JinjaTokenKind.Float: return new LiteralExpression(double.Parse(token.Text, CultureInfo.InvariantCulture), token.Line);
            case JinjaTokenKind.Name:
                return token.Text switch
                {
                    "true" or "True" => new LiteralExpression(true, token.Line),
                    "false" or "False" => new LiteralExpression(false, token.Line),
                    "none" or "None" => new LiteralExpression(null, token.Line),
                    _ => new NameExpression(token.Text, token.Line),
                };
            case JinjaTokenKind.Operator when token.Text == "(": return Tuple(token.Line);
            case JinjaTokenKind.Operator when token.Text == "[": return new ListExpression(Items("]", Expression), token.Line);
            case JinjaTokenKind.Operator when token.Text == "{": return new MapExpression(Items("}", Pair), token.Line);
            default: throw JinjaError.At(token.Line, "an expression", $"'{token.Text}'");
        }
    }

    private JinjaExpression Tuple(int line)
    {
        if (Accept(")")) return new ListExpression([], line);
        var first = Expression();
        if (Accept(")")) return first;
        Expect(",");
        return new ListExpression([first, .. Items(")", Expression)], line);
    }

    private (JinjaExpression, JinjaExpression) Pair()
    {
        var key = Expression();
        Expect(":");
        return (key, Expression());
    }

    private JinjaArguments Arguments()
    {
        Expect("(");
        var named = new List<(string, JinjaExpression)>();
        var all = Items(")", () =>
        {
            if (Current.Kind != JinjaTokenKind.Name || tokens[_at + 1] is not { Kind: JinjaTokenKind.Operator, Text: "=" }) return Expression();
            var name = ExpectName();
            Expect("=");
            named.Add((name, Expression()));
            return null;
        });
        return new JinjaArguments([.. all.OfType<JinjaExpression>()], named);
    }

    private List<T> Items<T>(string close, Func<T> parse)
    {
        var items = new List<T>();
        while (!Accept(close))
        {
            items.Add(parse());
            if (!Is(close)) Expect(",");
        }
        return items;
    }

    private JinjaExpression Chain(Func<JinjaExpression> next, params ReadOnlySpan<string> words)
    {
        var left = next();
        while (Current.Kind is JinjaTokenKind.Operator or JinjaTokenKind.Name && words.Contains(Current.Text))
        {
            var word = Take();
            left = new BinaryExpression(word.Text, left, next(), word.Line);
        }
        return left;
    }

    private JinjaExpression Next(Func<JinjaExpression> parse, out int line)
    {
        line = Take().Line;
        return parse();
    }
}
