namespace Halo;

/// <summary>Finds what somebody meant by a misspelt name.</summary>
internal static class NearestName
{
    /// <summary>The candidate with the least edit distance, if at most a third of the name (and at least two edits) away; else null.</summary>
    public static string? Of(string name, IEnumerable<string> candidates)
    {
        var best = candidates.Select(c => (Name: c, Distance: Distance(name, c))).MinBy(c => c.Distance);
        return best.Name is not null && best.Distance <= Math.Max(2, name.Length / 3) ? best.Name : null;
    }

    /// <summary>The name that a pattern which matches none comes nearest to: by whole names, or by the last part behind its *.</summary>
    /// <param name="pattern">With * and ?.</param>
    /// <param name="names">Separated by dots, such as <c>model.layers.0.mlp.down_proj</c>.</param>
    public static string? OfPattern(string pattern, IReadOnlyCollection<string> names) =>
        Of(pattern, names.Concat(names.SelectMany(Ends).Distinct(StringComparer.Ordinal)));

    private static IEnumerable<string> Ends(string name)
    {
        for (var dot = name.IndexOf('.', StringComparison.Ordinal); dot >= 0; dot = name.IndexOf('.', dot + 1))
            yield return $"*{name[dot..]}";
    }

    /// <summary>Levenshtein's distance, row by row.</summary>
    private static int Distance(string a, string b)
    {
        var row = Enumerable.Range(0, b.Length + 1).ToArray();
        for (var i = 1; i <= a.Length; i++)
        {
            var diagonal = row[0];
            row[0] = i;
            for (var j = 1; j <= b.Length; j++)
            {
                var replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
                diagonal = row[j];
                row[j] = Math.Min(replaced, 1 + Math.Min(row[j], row[j - 1]));
            }
        }
        return row[^1];
    }
}
