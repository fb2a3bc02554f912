using System.Collections;

namespace Halo.Models.Chat.Jinja;

/// <summary>A name or item that is not there: it prints as nothing and is false, and reading further from it is an error.</summary>
internal sealed record Undefined(string Name);

/// <summary>Something a template can call.</summary>
internal delegate object? JinjaFunction(List<object?> positional, Dictionary<string, object?> named, JinjaSite site);

/// <summary>An object whose attributes a template can set from inside loops.</summary>
internal sealed class JinjaNamespace
{
    internal Dictionary<string, object?> Attributes { get; } = [];
}

/// <summary>Python's rules for the values of templates: null, bool, long, double, string, List, OrderedDictionary. None is changed once it is made.</summary>
internal static class JinjaValues
{
    private const int TextShown = 60;

    internal static bool IsTrue(object? value) => value switch
    {
        null or Undefined => false,
        bool flag => flag,
        long number => number != 0,
        double number => number != 0,
        string text => text.Length > 0,
        ICollection items => items.Count > 0,
        JinjaTurns turns => turns.Of.Has(turns.First),
        _ => true,
    };

    internal static bool AreEqual(object? a, object? b, JinjaSite site, int depth = 0)
    {
        site.Inside(depth);
        switch (a, b)
        {
            case (Undefined, Undefined): return true;
            case (List<object?> x, List<object?> y):
                site.Read(JinjaBudget.UnitsOfItem * x.Count + 64);
                return x.Count == y.Count && x.Zip(y).All(p => AreEqual(p.First, p.Second, site, depth + 1));
            case (OrderedDictionary<string, object?> x, OrderedDictionary<string, object?> y):
                site.Read(JinjaBudget.UnitsOfItem * x.Count + 64);
                return x.Count == y.Count && x.All(p => y.TryGetValue(p.Key, out var other) && AreEqual(p.Value, other, site, depth + 1));
            case (string x, string y):
                site.Read(Math.Min(x.Length, y.Length));
                return x == y;
            case (long x, long y): return x == y;
            default: return Number(a) is { } left && Number(b) is { } right ? left == right : Equals(a, b);
        }
    }

    /// <summary>Numbers and truth values, which count as 0 and 1, as double.</summary>
    internal static double? Number(object? value) => value switch { bool flag => flag ? 1 : 0, long number => number, double number => number, _ => null };

    internal static bool Contains(object? container, object? item, JinjaSite site)
    {
        switch (container)
        {
            case string text:
                site.Read(text.Length);
                return text.Contains(Text(item, site), StringComparison.Ordinal);
            case List<object?> list: return list.Any(other => Steps(site) && AreEqual(other, item, site));
            case OrderedDictionary<string, object?> map: return item is string key && map.ContainsKey(key);
            case Undefined: return false;
            default: throw JinjaError.At(site, "text, a list or a mapping after 'in'", Described(container));
        }
    }

    internal static List<object?> Items(object? value, JinjaSite site)
    {
        switch (value)
        {
            case List<object?> list: return list;
            case OrderedDictionary<string, object?> map:
                site.MakeItems(map.Count);
                return [.. map.Keys];
            case string text:
                site.MakeItems(2 * text.Length);
                return [.. text.EnumerateRunes().Select(rune => (object?)rune.ToString())];
            case Undefined: return [];
            default: throw JinjaError.At(site, "something to iterate over", Described(value));
        }
    }

    /// <summary>The items of a list that is about to be copied or looked through.</summary>
    internal static List<object?> Copied(object? value, JinjaSite site)
    {
        var items = Items(value, site);
        site.MakeItems(items.Count);
        return items;
    }

    internal static string Text(object? value, JinjaSite site) => value as string ?? throw JinjaError.At(site, "text", Described(value));

    internal static long Integer(object? value, JinjaSite site) =>
        value switch { long n => n, bool b => b ? 1 : 0, _ => throw JinjaError.At(site, "a whole number", Described(value)) };

    /// <summary>A value in a message: short, whatever it is.</summary>
    internal static string Described(object? value) => value switch
    {
        Undefined missing => $"'{missing.Name}', which is undefined",
        null => "none",
        bool flag => flag ? "True" : "False",
        string text => text.Length > TextShown ? $"'{text[..TextShown]}...'" : $"'{text}'",
        long or double => $"{value}",
        List<object?> list => $"a list of {list.Count}",
        OrderedDictionary<string, object?> => "a mapping",
        JinjaTurns => "messages",
        JinjaFunction => "a function",
        JinjaNamespace => "a namespace",
        JinjaLoop => "a loop",
        _ => throw new NotSupportedException(value.GetType().Name),
    };

    internal static object? Slice(object? target, long? start, long? stop, long step, JinjaSite site)
    {
        if (step == 0) throw JinjaError.At(site, "a step other than 0", "0");
        var items = target is Undefined ? throw JinjaError.At(site, "text or a list", Described(target)) : Items(target, site);
        var (count, result) = (items.Count, new List<object?>());
        step = Math.Clamp(step, -count - 1, count + 1);
        var (low, high) = step > 0 ? (0L, (long)count) : (-1L, count - 1L);
        long Place(long? value, long absent) => value is not { } v ? absent : Math.Clamp(v < 0 ? v + count : v, low, high);
        var end = Place(stop, step > 0 ? high : low);
        for (var i = Place(start, step > 0 ? low : high); step > 0 ? i < end : i > end; i += step) result.Add(items[(int)i]);
        site.MakeItems(result.Count);
        return target is string ? string.Concat(result) : result;
    }

    private static bool Steps(JinjaSite site)
    {
        site.Budget.Step(site.Line);
        return true;
    }
}
