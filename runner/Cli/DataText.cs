using System.Text;
using Halo.Runner.Inspection;
using Spectre.Console;

namespace Halo.Runner.Cli;

/// <summary>A <see cref="DataReport"/> and some rows for a terminal.</summary>
internal static class DataText
{
    private const int Listed = 10, BarWidth = 40;

    /// <summary>Lengths, room, what is cut and what comes twice, and what to know.</summary>
    public static IEnumerable<string> Lines(DataReport report)
    {
        yield return report.Data.Summary;
        yield return "";
        var most = Math.Max(1, report.Lengths.Max(l => l.Rows));
        foreach (var (from, to, rows) in report.Lengths)
            yield return $"{from,7} to {to,-7} {rows,8} {new string('#', (int)Math.Ceiling((double)BarWidth * rows / most))}".TrimEnd();
        yield return "";
        foreach (var line in Room(report))
            yield return line;
        foreach (var (title, remarks) in new[] { ("cut or left out", report.Cut), ("come again", report.Duplicates) })
        {
            if (remarks.Count > 0)
                yield return $"{remarks.Count} rows {title}:";
            foreach (var remark in remarks.Take(Listed))
                yield return $"  {remark.Place}: {remark.Text}";
            if (remarks.Count > Listed)
                yield return $"  and {remarks.Count - Listed} more";
        }
        foreach (var warning in report.Warnings)
            yield return $"note: {warning}";
    }

    /// <summary>What rows leave empty, and what packing would fill.</summary>
    internal static IEnumerable<string> Room(DataReport report)
    {
        yield return $"padding: {report.Padding:P1} of {report.Data.Rows.Count} rows of {report.Data.MaxLength} tokens";
        yield return $"packed: {report.Packed} rows of {report.Data.MaxLength}, {(double)report.Data.Rows.Count / report.Packed:F2} times fewer, "
            + $"{1 - (double)report.Data.Tokens / ((double)report.Packed * report.Data.MaxLength):P1} padding";
    }

    /// <summary>The tokens of a row: what is learned in colour, or between marks where there is none.</summary>
    public static string Row(ShownRow row, bool inColour)
    {
        var (text, wasLearned) = (new StringBuilder(), false);
        foreach (var token in row.Tokens)
        {
            if (token.IsLearned != wasLearned && !inColour)
                text.Append(token.IsLearned ? '\u00AB' : '\u00BB');
            wasLearned = token.IsLearned;
            if (!inColour)
                text.Append(token.Text);
            else if (token.Text.Length > 0)
                text.Append($"[{(token.IsLearned ? "black on green" : token.IsMark ? "grey" : "default")}]{Markup.Escape(token.Text)}[/]");
        }
        if (wasLearned && !inColour)
            text.Append('\u00BB');
        return text.ToString();
    }
}
