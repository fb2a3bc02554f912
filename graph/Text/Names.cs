using System.Text;
using Halo.Ir;

namespace Halo.Text;

/// <summary>How names, strings and types are written. A name of plain characters stands bare; any other is quoted.</summary>
internal static class Names
{
    /// <summary>What stands for an optional input that is left out.</summary>
    public const string Absent = "_";

    public static bool IsStart(char c) => char.IsAsciiLetterOrDigit(c) || c is '_' or '/' or '.' or '$';

    public static bool IsPart(char c) => IsStart(c) || c is '-';

    public static string Bare(string name) => name != Absent && IsBare(name) ? name : Quote(name);

    /// <summary>The operator with its domain in front and the overload behind: <c>com.example.Scale:float16</c>.</summary>
    public static string Operator(string domain, string opType, string overload) =>
        (domain.Length > 0 ? (IsBare(domain) ? domain : Quote(domain)) + "." : "")
        + (IsBare(opType) && !opType.Contains('.') ? opType : Quote(opType))
        + (overload.Length > 0 ? ":" + Bare(overload) : "");

    /// <summary>The type with its sizes: <c>float[3, batch, ?]</c>; without brackets if the rank is unknown; empty if nothing is known.</summary>
    public static string Type(ElementType type, Shape? shape)
    {
        var name = type == ElementType.Undefined ? "?" : type.Name();
        if (shape is null)
            return type == ElementType.Undefined ? "" : name;
        return $"{name}[{string.Join(", ", shape.Select(d => d.Symbol is { } symbol ? Symbol(symbol) : d.ToString()))}]";
    }

    public static string Quote(string text)
    {
        var result = new StringBuilder("\"", text.Length + 2);
        foreach (var c in text)
        {
            result.Append(c switch
            {
                '"' => "\\\"",
                '\\' => "\\\\",
                '\n' => "\\n",
                '\t' => "\\t",
                '\r' => "\\r",
                < ' ' or > '~' => $"\\u{(int)c:x4}",
                _ => c.ToString(),
            });
        }
        return result.Append('"').ToString();
    }

    private static string Symbol(string symbol) => IsBare(symbol) && !char.IsAsciiDigit(symbol[0]) ? symbol : Quote(symbol);

    private static bool IsBare(string name)
    {
        if (name.Length == 0 || !IsStart(name[0]))
            return false;
        for (var i = 0; i < name.Length; i++)
        {
            if (name[i] == ':' && i + 2 < name.Length && name[i + 1] == ':')
                i++; // onnx::MatMul_488
            else if (!IsPart(name[i]))
                return false;
        }
        return true;
    }
}
