namespace Halo.Models.Chat.Jinja;

/// <summary>The filters and tests of chat templates.</summary>
internal static class JinjaFilters
{
    internal static object? Apply(string name, object? value, List<object?> positional, Dictionary<string, object?> named, int line)
    {
        object? Argument(int index, string key) => index < positional.Count ? positional[index] : named.GetValueOrDefault(key);
        switch (name)
        {
            case "trim": return Printed(value).Trim(Argument(0, "chars") is string chars ? chars.ToCharArray() : PythonText.Whitespace);
            case "upper": return Printed(value).ToUpperInvariant();
            case "lower": return Printed(value).ToLowerInvariant();
            case "capitalize": return JinjaMethods.Capitalized(Printed(value));
            case "string": return Printed(value);
            case "safe": return value;
            case "length" or "count": return value is string text ? text.EnumerateRunes().Count() : (long)JinjaValues.Items(value, line).Count;
            case "int":
                return value is string digits ? (long.TryParse(digits, out var parsed) ? parsed : Argument(0, "default") ?? 0L)
                    : (long)(JinjaValues.Number(value) ?? 0);
            case "float": return value is string number ? (double.TryParse(number, out var real) ? real : 0.0) : JinjaValues.Number(value) ?? 0.0;
            case "abs":
                return value is long whole ? (object)Math.Abs(whole)
                    : Math.Abs(JinjaValues.Number(value) ?? throw JinjaError.At(line, "a number", Printed(value)));
            case "join": return string.Join(PythonText.Str(Argument(0, "d") ?? ""), JinjaValues.Items(value, line).Select(PythonText.Str));
            case "default" or "d":
                return value is Undefined || (JinjaValues.IsTrue(Argument(1, "boolean")) && !JinjaValues.IsTrue(value))
                    ? Argument(0, "default_value") ?? "" : value;
            case "tojson": return PythonText.Json(value, Argument(0, "indent") is long indent ? (int)indent : null);
            case "replace":
                return Printed(value).Replace(JinjaValues.Text(Argument(0, "old"), line), JinjaValues.Text(Argument(1, "new"), line), StringComparison.Ordinal);
            case "first": return JinjaValues.Items(value, line) is { Count: > 0 } head ? head[0] : new Undefined("first");
            case "last": return JinjaValues.Items(value, line) is { Count: > 0 } tail ? tail[^1] : new Undefined("last");
            case "list": return JinjaValues.Items(value, line).ToList();
            case "reverse":
                return value is string forward ? string.Concat(forward.EnumerateRunes().Reverse())
                    : JinjaValues.Items(value, line).AsEnumerable().Reverse().ToList();
            case "items" or "dictsort":
                var pairs = value as OrderedDictionary<string, object?> ?? throw JinjaError.At(line, "a mapping", JinjaValues.Described(value));
                IEnumerable<KeyValuePair<string, object?>> ordered = name == "items" ? pairs : pairs.OrderBy(p => p.Key, StringComparer.OrdinalIgnoreCase);
                return ordered.Select(p => (object?)new List<object?> { p.Key, p.Value }).ToList();
            case "map" when named.GetValueOrDefault("attribute") is string attribute:
                return JinjaValues.Items(value, line).Select(item => Attribute(item, attribute)).ToList();
            case "map":
                return JinjaValues.Items(value, line)
                    .Select(item => Apply(JinjaValues.Text(Argument(0, "filter"), line), item, positional[1..], [], line)).ToList();
            case "select" or "reject":
                return JinjaValues.Items(value, line).Where(item => Passes(item, positional) == (name == "select")).ToList();
            case "selectattr" or "rejectattr":
                var key = JinjaValues.Text(Argument(0, "attr"), line);
                return JinjaValues.Items(value, line).Where(item => Passes(Attribute(item, key), positional[1..]) == (name == "selectattr")).ToList();
            default: throw JinjaError.At(line, "a supported filter", $"'{name}'");
        }

        bool Passes(object? item, List<object?> test) => test.Count == 0 ? JinjaValues.IsTrue(item)
            : Test(JinjaValues.Text(test[0], line), item, test[1..], line);
    }

    internal static bool Test(string name, object? value, List<object?> arguments, int line) => name switch
    {
        "defined" => value is not Undefined,
        "undefined" => value is Undefined,
        "none" => value is null,
        "string" => value is string,
        "mapping" => value is OrderedDictionary<string, object?>,
        "iterable" => value is string or List<object?> or OrderedDictionary<string, object?> or Undefined,
        "sequence" => value is string or List<object?> or OrderedDictionary<string, object?>,
        "number" => value is long or double or bool,
        "integer" => value is long,
        "float" => value is double,
        "boolean" => value is bool,
        "true" => value is true,
        "false" => value is false,
        "callable" => value is JinjaFunction,
        "odd" => JinjaValues.Integer(value, line) % 2 != 0,
        "even" => JinjaValues.Integer(value, line) % 2 == 0,
        "divisibleby" when arguments.Count == 1 && JinjaValues.Integer(arguments[0], line) is not 0 and var by => JinjaValues.Integer(value, line) % by == 0,
        "equalto" or "eq" or "sameas" when arguments.Count == 1 => JinjaValues.AreEqual(value, arguments[0]),
        "ne" when arguments.Count == 1 => !JinjaValues.AreEqual(value, arguments[0]),
        "in" when arguments.Count == 1 => JinjaValues.Contains(arguments[0], value, line),
        _ => throw JinjaError.At(line, "a supported test", $"'{name}'"),
    };

    private static string Printed(object? value) => PythonText.Str(value);

    private static object? Attribute(object? item, string name) =>
        item is OrderedDictionary<string, object?> map && map.TryGetValue(name, out var value) ? value : new Undefined(name);
}
