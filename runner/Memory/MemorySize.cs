using System.Globalization;
using System.Text.RegularExpressions;

namespace Halo.Runner.Memory;

/// <summary>Sizes of memory as people write them.</summary>
internal static partial class MemorySize
{
    private static readonly string[] Units = ["B", "KiB", "MiB", "GiB", "TiB"];

    /// <summary>With one decimal: <c>61.3 GiB</c>.</summary>
    public static string Text(long bytes)
    {
        var unit = 0;
        var size = (double)bytes;
        for (; size >= 1024 && unit < Units.Length - 1; unit++)
            size /= 1024;
        return string.Create(CultureInfo.InvariantCulture, $"{size:F1} {Units[unit]}");
    }

    /// <summary>Bytes of a text such as <c>80GiB</c>, <c>24 GB</c> or <c>512MiB</c>; units of GB are powers of ten.</summary>
    /// <exception cref="HaloException">Another text.</exception>
    public static long Parse(string text)
    {
        var match = Form().Match(text);
        if (!match.Success)
            throw new HaloException("memory", "memory", "a size such as 80GiB or 24GB", $"'{text}'", "Write a number and KiB, MiB, GiB, TiB, KB, MB, GB or TB.");
        var power = "KMGT".IndexOf(char.ToUpperInvariant(match.Groups[2].Value[0])) + 1;
        var scale = Math.Pow(match.Groups[3].Success ? 1024 : 1000, power);
        return (long)(double.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture) * scale);
    }

    [GeneratedRegex("^ *([0-9]+(?:\\.[0-9]+)?) *([KMGT])(i)?B *$", RegexOptions.IgnoreCase)]
    private static partial Regex Form();
}
