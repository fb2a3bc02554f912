using System.Globalization;

namespace Halo.Models.Chat.Jinja;

/// <summary>The filters and tests of chat templates.</summary>
internal static class JinjaFilters
{
    internal static object? Apply(string name, object? value, List<object?> positional, Dictionary<string, object?> named, JinjaSite site)
    {
        var (place, names) = (0, 0); // arguments that were asked for: one that is not would be passed over in silence
        object? Argument(int index, string key)
        {
            place = Math.Max(place, index + 1);
            if (named.ContainsKey(key)) names++;
            return index >= 0 && index < positional.Count ? positional[index] : named.GetValueOrDefault(key);
        }
        var result = Filtered();
        if (positional.Count > place) throw JinjaError.At(site, $"at most {place} arguments of '{name}'", $"{positional.Count}");
        if (named.Count > names) throw JinjaError.At(site, $"supported arguments of '{name}'", string.Join(", ", named.Keys.Select(key => $"'{key}'")));
        return result;

        object? Filtered()
        {
            switch (name)
            {
                case "trim": return JinjaMethods.Stripped(Printed(value, site), Argument(0, "chars"), left: true, right: true, site);
                case "upper": return Made(Printed(value, site)).ToUpperInvariant();
                case "lower": return Made(Printed(value, site)).ToLowerInvariant();
                case "capitalize": return JinjaMethods.Capitalized(Made(Printed(value, site)));
                case "title": return JinjaMethods.TitledWords(Made(Printed(value, site)));
                case "string": return Printed(value, site);
                case "safe": return value;
                case "length" or "count": return value is string text ? Made(text).EnumerateRunes().LongCount() : JinjaValues.Items(value, site).Count;
                case "int": return Whole(value, Argument(0, "default") ?? 0L, site);
                case "float":
                    return value is string number
                        ? double.TryParse(number, NumberStyles.Float, CultureInfo.InvariantCulture, out var real) ? real : Argument(0, "default") ?? 0.0
                        : JinjaValues.Number(value) ?? Argument(0, "default") ?? 0.0;
                case "abs":
                    if (value is long.MinValue) throw JinjaError.At(site, "a number of 64 bits", "one more");
                    return value is long whole ? (object)Math.Abs(whole)
                        : Math.Abs(JinjaValues.Number(value) ?? throw JinjaError.At(site, "a number", JinjaValues.Described(value)));
                case "join":
                    var separator = Printed(Argument(0, "d") ?? "", site);
                    return JinjaMethods.Joined(separator, JinjaValues.Items(value, site).Select(item => Printed(item, site)), site);
                case "default" or "d":
                    var (instead, isOfFalse) = (Argument(0, "default_value") ?? "", JinjaValues.IsTrue(Argument(1, "boolean")));
                    return value is Undefined || (isOfFalse && !JinjaValues.IsTrue(value)) ? instead : value;
                case "tojson":
                    if (named.ContainsKey("ensure_ascii") && Argument(-1, "ensure_ascii") is not false)
                        throw JinjaError.At(site, "ensure_ascii=false", "another value");
                    return PythonText.Json(value, Argument(0, "indent") is long indent ? indent : null, site);
                case "replace":
                    return JinjaMethods.Replaced(Printed(value, site), JinjaValues.Text(Argument(0, "old"), site), JinjaValues.Text(Argument(1, "new"), site),
                        Argument(2, "count"), site);
                case "first": return JinjaValues.Items(value, site) is { Count: > 0 } head ? head[0] : new Undefined("first");
                case "last": return JinjaValues.Items(value, site) is { Count: > 0 } tail ? tail[^1] : new Undefined("last");
                case "list": return JinjaValues.Copied(value, site).ToList();
                case "reverse":
                    return value is string forward ? string.Concat(Made(forward).EnumerateRunes().Reverse())
                        : JinjaValues.Copied(value, site).AsEnumerable().Reverse().ToList();
                case "items" or "dictsort":
                    var pairs = value as OrderedDictionary<string, object?> ?? throw JinjaError.At(site, "a mapping", JinjaValues.Described(value));
                    if (name == "items") return JinjaMethods.Pairs(pairs, site);
                    return JinjaMethods.Pairs(pairs.OrderBy(p => p.Key, StringComparer.OrdinalIgnoreCase).ToList(), site);
                case "map" when named.GetValueOrDefault("attribute") is string attribute:
                    Argument(-1, "attribute");
                    return JinjaValues.Copied(value, site).Select(item => Attribute(item, attribute)).ToList();
                case "map":
                    var filter = JinjaValues.Text(Argument(0, "filter"), site);
                    place = positional.Count;
                    return JinjaValues.Copied(value, site).Select(item => Apply(filter, item, [.. positional.Skip(1)], [], site)).ToList();
                case "select" or "reject":
                    place = positional.Count;
                    return JinjaValues.Copied(value, site).Where(item => Passes(item, positional) == (name == "select")).ToList();
                case "selectattr" or "rejectattr":
                    var key = JinjaValues.Text(Argument(0, "attr"), site);
                    place = positional.Count;
                    return JinjaValues.Copied(value, site).Where(item => Passes(Attribute(item, key), [.. positional.Skip(1)]) == (name == "selectattr")).ToList();
                default: throw JinjaError.At(site, "a supported filter", $"'{name}'");
            }
        }

        string Made(string text)
        {
            site.Make(text.Length);
            return text;
        }

        bool Passes(object? item, List<object?> test)
        {
            site.Budget.Step(site.Line);
            return test.Count == 0 ? JinjaValues.IsTrue(item) : Test(JinjaValues.Text(test[0], site), item, test[1..], site);
        }
    }

    internal static bool Test(string name, object? value, List<object?> arguments, JinjaSite site) => name switch
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
        "odd" => JinjaValues.Integer(value, site) % 2 != 0,
        "even" => JinjaValues.Integer(value, site) % 2 == 0,
        "divisibleby" when arguments.Count == 1 && JinjaValues.Integer(arguments[0], site) is not (0 or -1) and var by =>
            JinjaValues.Integer(value, site) % by == 0,
        "equalto" or "eq" or "sameas" when arguments.Count == 1 => JinjaValues.AreEqual(value, arguments[0], site),
        "ne" when arguments.Count == 1 => !JinjaValues.AreEqual(value, arguments[0], site),
        "in" when arguments.Count == 1 => JinjaValues.Contains(arguments[0], value, site),
        _ => throw JinjaError.At(site, "a supported test", $"'{name}'"),
    };

    /// <summary>Tests that the kind of a value answers, whatever is in it.</summary>
    internal static bool IsOfKind(string name) => name is "defined" or "undefined" or "none" or "string" or "mapping" or "iterable" or "sequence" or "number"
        or "integer" or "float" or "boolean" or "true" or "false" or "callable";

    private static object? Whole(object? value, object? absent, JinjaSite site)
    {
        if (value is long) return value;
        if (value is string digits) return long.TryParse(digits, NumberStyles.Integer, CultureInfo.InvariantCulture, out var parsed) ? parsed : absent;
        if (JinjaValues.Number(value) is not { } number) return absent;
        return Math.Abs(number) < 9e18 ? (long)number : throw JinjaError.At(site, "a number of 64 bits", JinjaValues.Described(value));
    }

    private static string Printed(object? value, JinjaSite site) => PythonText.Str(value, site);

    private static object? Attribute(object? item, string name) =>
        item is OrderedDictionary<string, object?> map && map.TryGetValue(name, out var value) ? value : new Undefined(name);
}
