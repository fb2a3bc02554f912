using System.Collections;

namespace Halo.Models.Chat.Jinja;

/// <summary>A name or item that is not there: it prints as nothing and is false, and reading further from it is an error.</summary>
internal sealed record Undefined(string Name);

/// <summary>Something a template can call.</summary>
internal delegate object? JinjaFunction(List<object?> positional, Dictionary<string, object?> named, int line);

/// <summary>An object whose attributes a template can set from inside loops.</summary>
internal sealed class JinjaNamespace
{
    internal Dictionary<string, object?> Attributes { get; } = [];
}

/// <summary>Python's rules for the values of templates: null, bool, long, double, string, List, OrderedDictionary.</summary>
internal static class JinjaValues
{
    internal static bool IsTrue(object? value) => value switch
    {
        null or Undefined => false,
        bool flag => flag,
        long number => number != 0,
        double number => number != 0,
        string text => text.Length > 0,
        ICollection items => items.Count > 0,
        _ => true,
    };

    internal static bool AreEqual(object? a, object? b) => (a, b) switch
    {
        (Undefined, Undefined) => true,
        (List<object?> x, List<object?> y) => x.Count == y.Count && x.Zip(y).All(p => AreEqual(p.First, p.Second)),
        (OrderedDictionary<string, object?> x, OrderedDictionary<string, object?> y) =>
            x.Count == y.Count && x.All(p => y.TryGetValue(p.Key, out var other) && AreEqual(p.Value, other)),
        _ => Number(a) is { } left && Number(b) is { } right ? left == right : Equals(a, b),
    };

    /// <summary>Numbers and truth values, which count as 0 and 1, as double.</summary>
    internal static double? Number(object? value) => value switch { bool flag => flag ? 1 : 0, long number => number, double number => number, _ => null };

    internal static bool Contains(object? container, object? item, int line) => container switch
    {
        string text => text.Contains(Text(item, line), StringComparison.Ordinal),
        List<object?> list => list.Any(other => AreEqual(other, item)),
        OrderedDictionary<string, object?> map => item is string key && map.ContainsKey(key),
        Undefined => false,
        _ => throw JinjaError.At(line, "text, a list or a mapping after 'in'", PythonText.Str(container)),
    };

    internal static List<object?> Items(object? value, int line) => value switch
    {
        List<object?> list => list,
        OrderedDictionary<string, object?> map => [.. map.Keys],
        string text => [.. text.EnumerateRunes().Select(rune => (object?)rune.ToString())],
        Undefined => [],
        _ => throw JinjaError.At(line, "something to iterate over", PythonText.Str(value)),
    };

    internal static string Text(object? value, int line) => value as string ?? throw JinjaError.At(line, "text", Described(value));

    internal static long Integer(object? value, int line) =>
        value switch { long n => n, bool b => b ? 1 : 0, _ => throw JinjaError.At(line, "a whole number", Described(value)) };

    internal static string Described(object? value) => value is Undefined missing ? $"'{missing.Name}', which is undefined" : PythonText.Str(value);

    internal static object? Slice(object? target, long? start, long? stop, long step, int line)
    {
        if (step == 0) throw JinjaError.At(line, "a step other than 0", "0");
        var items = target is Undefined ? throw JinjaError.At(line, "text or a list", Described(target)) : Items(target, line);
        var (count, result) = (items.Count, new List<object?>());
        var (low, high) = step > 0 ? (0L, (long)count) : (-1L, count - 1L);
        long Place(long? value, long absent) => value is not { } v ? absent : Math.Clamp(v < 0 ? v + count : v, low, high);
        var end = Place(stop, step > 0 ? high : low);
        for (var i = Place(start, step > 0 ? low : high); step > 0 ? i < end : i > end; i += step) result.Add(items[(int)i]);
        return target is string ? string.Concat(result) : result;
    }
}
