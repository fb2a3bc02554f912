using Halo.Ir;

namespace Halo.Operators;

/// <summary>Arithmetic of dimensions that may be symbols. Products and sums are symbols again: <c>2*batch*sequence</c>, <c>sequence + 1</c>.</summary>
internal static class DimArithmetic
{
    /// <summary>The dimension two operands have after broadcasting; false if they cannot be broadcast.</summary>
    public static bool TryBroadcast(Dim a, Dim b, out Dim result)
    {
        result = a == b || b.Size == 1 || IsOneProduct(a, b) ? a
            : a.Size == 1 ? b
            : a.IsKnown ? a // the other one, if not a number, is 1 or the same
            : b.IsKnown ? b
            : Dim.Unknown;
        return !(a.IsKnown && b.IsKnown) || a == b || a.Size == 1 || b.Size == 1;
    }

    public static Dim Add(Dim a, Dim b)
    {
        if (a.Size is { } x && b.Size is { } y)
            return checked(x + y);
        return b.Size is { } right ? Shifted(a, right) : a.Size is { } left ? Shifted(b, left) : Dim.Unknown;
    }

    public static Dim Subtract(Dim a, Dim b) => b.Size is { } size ? Add(a, -size) : a.Symbol is not null && a == b ? 0 : Dim.Unknown;

    /// <summary>The number that a symbol such as <c>sequence + 1</c> adds; the size is at least as large if it is not negative.</summary>
    public static long Offset(Dim dim) => dim.Symbol is { } symbol ? Split(symbol).Offset : 0;

    public static Dim Multiply(Dim a, Dim b) => Product([a, b]);

    /// <summary>The product of all; unknown if a factor is.</summary>
    public static Dim Product(IEnumerable<Dim> dims)
    {
        var (number, symbols) = Factors(dims, out var isKnown);
        return isKnown ? Named(number, symbols) : Dim.Unknown;
    }

    /// <summary>The quotient of two products where it can be decided: equal symbols cancel, and the numbers divide without rest.</summary>
    public static Dim Quotient(IEnumerable<Dim> dividend, IEnumerable<Dim> divisor)
    {
        var (above, symbols) = Factors(dividend, out var isKnown);
        var (below, cancelled) = Factors(divisor, out var isDivisorKnown);
        if (!isKnown || !isDivisorKnown || below == 0 || above % below != 0)
            return Dim.Unknown;
        foreach (var symbol in cancelled)
        {
            if (!symbols.Remove(symbol))
                return Dim.Unknown;
        }
        return Named(above / below, symbols);
    }

    private static Dim Shifted(Dim dim, long by)
    {
        if (dim.Symbol is not { } symbol || by == 0)
            return dim;
        var (name, offset) = Split(symbol);
        offset = checked(offset + by);
        return Dim.Named(offset == 0 ? name : offset > 0 ? $"{name} + {offset}" : $"{name} - {-offset}");
    }

    private static (string Name, long Offset) Split(string symbol)
    {
        var at = symbol.LastIndexOf(' ');
        if (at < 2 || symbol[at - 2] != ' ' || symbol[at - 1] is not ('+' or '-') || !long.TryParse(symbol.AsSpan(at + 1), out var number))
            return (symbol, 0);
        return (symbol[..(at - 2)], symbol[at - 1] == '+' ? number : -number);
    }

    /// <summary>Exporters write the factors of a product in an order of their own.</summary>
    private static bool IsOneProduct(Dim a, Dim b) =>
        a.Symbol is { } x && b.Symbol is { } y && x.Contains('*') && y.Contains('*') && Product([a]) == Product([b]);

    private static (long Number, List<string> Symbols) Factors(IEnumerable<Dim> dims, out bool isKnown)
    {
        long number = 1;
        var symbols = new List<string>();
        isKnown = true;
        foreach (var dim in dims)
        {
            if (dim.Size is { } size)
                number = checked(number * size);
            else if (dim.Symbol is not { } symbol)
                isKnown = false;
            else if (!symbol.Contains('*') || symbol.Any(c => c is ' ' or '+' or '-' or '/' or '(' or ')'))
                symbols.Add(symbol); // a sum or a quotient is one factor
            else
            {
                foreach (var factor in symbol.Split('*'))
                {
                    if (long.TryParse(factor, out var n))
                        number = checked(number * n);
                    else
                        symbols.Add(factor);
                }
            }
        }
        if (number == 0)
            isKnown = true;
        return (number, symbols);
    }

    private static Dim Named(long number, List<string> symbols)
    {
        if (symbols.Count == 0 || number == 0)
            return number;
        symbols.Sort(StringComparer.Ordinal);
        return Dim.Named((number == 1 ? "" : $"{number}*") + string.Join('*', symbols));
    }
}
