using System.Globalization;
using System.IO.Enumeration;
using System.Security.Cryptography;
using System.Text;
using Halo.Io;

namespace Halo.Runner.Data;

/// <summary>A data file, and how many times each of its rows stands in an epoch.</summary>
internal sealed record DataFile(string Path, double Weight = 1);

/// <summary>The files that a setting names: a path, a pattern, or several of them with commas between, each with <c>@WEIGHT</c> behind it where it has one.</summary>
/// <remarks>A name that is a file's is that file, whatever is in it. In patterns * and ? stand within a name, ** for any folders.</remarks>
internal static class DataFiles
{
    private const string Reader = "data-files";

    /// <summary>The files, those of a pattern by name.</summary>
    /// <exception cref="HaloException">A pattern that nothing matches, a weight that is none, or a file that is named twice.</exception>
    public static IReadOnlyList<DataFile> Of(string text)
    {
        var files = Parts(text).SelectMany(part => Expand(part.Path).Select(path => new DataFile(path, part.Weight ?? 1))).ToList();
        return files.GroupBy(f => f.Path).FirstOrDefault(g => g.Count() > 1) is { } twice
            ? throw new HaloException(Reader, twice.Key, "each file once", "it twice", "Give it a weight: FILE@2.") : files;
    }

    /// <summary>Files that are evaluated, each by itself, with a short name: its own, or where two are alike its path.</summary>
    /// <exception cref="HaloException">A file has a weight, which says nothing where every row is taken once.</exception>
    public static IReadOnlyList<(string Name, string Path)> ForEvaluation(string text)
    {
        var files = Of(text);
        if (files.FirstOrDefault(f => f.Weight != 1) is { } weighted)
            throw new HaloException(Reader, weighted.Path, "no weight where data are evaluated", $"@{weighted.Weight}", "Leave it out: every row is taken once.");
        return [.. files.Select(f => (files.Count(o => Path.GetFileName(o.Path) == Path.GetFileName(f.Path)) == 1 ? Path.GetFileName(f.Path) : f.Path, f.Path))];
    }

    /// <summary>The paths of the files of a setting that may be missing.</summary>
    public static IEnumerable<string> Named(string? text) => text is null ? [] : Of(text).Select(f => f.Path);

    /// <summary>The same files by paths that mean them from everywhere.</summary>
    public static string Absolute(string text) => string.Join(',', Parts(text).Select(part =>
        Path.GetFullPath(part.Path) + (part.Weight is { } weight ? $"@{weight.ToString("R", CultureInfo.InvariantCulture)}" : "")));

    /// <summary>A digest of what the files say and weigh, whatever they are called: of one file its SHA-256.</summary>
    public static string Sha256(IReadOnlyList<DataFile> files) => files is [{ Weight: 1 } file] ? FileDigest.Sha256(file.Path)
        : Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(string.Concat(files.Select(f =>
            $"{FileDigest.Sha256(f.Path)} {f.Weight.ToString("R", CultureInfo.InvariantCulture)}\n")))));

    private static IEnumerable<(string Path, double? Weight)> Parts(string text)
    {
        foreach (var part in File.Exists(text) ? [text] : text.Split(',', StringSplitOptions.TrimEntries))
        {
            if (part.Length == 0)
                throw new HaloException(Reader, $"'{text}'", "a path or a pattern between commas", "nothing", "Remove a comma.");
            var at = part.LastIndexOf('@');
            if (at <= 0 || Path.Exists(part) || part.AsSpan(at).Contains('/'))
                yield return (part, null);
            else
                yield return (part[..at], double.TryParse(part.AsSpan(at + 1), NumberStyles.Float, CultureInfo.InvariantCulture, out var weight)
                    && weight is > 0 and <= 1000 ? weight
                    : throw new HaloException(Reader, $"'{part}'", "a weight above 0 up to 1000 behind '@'", $"'{part[(at + 1)..]}'", "Correct the weight, or the name."));
        }
    }

    private static List<string> Expand(string path)
    {
        if (!path.AsSpan().ContainsAny('*', '?') || Path.Exists(path))
            return [path];
        var names = path.Split('/');
        var first = Array.FindIndex(names, n => n.AsSpan().ContainsAny('*', '?'));
        var root = first == 0 ? "." : string.Join('/', names[..first]) is { Length: > 0 } folder ? folder : "/";
        var found = Match(root, names.AsSpan(first).ToArray()).Distinct().Order(StringComparer.Ordinal).ToList();
        return found.Count > 0 ? found : throw new HaloException(Reader, path, "a pattern that files match", "none", "Check the path; quote a pattern in a shell.");
    }

    private static IEnumerable<string> Match(string folder, string[] names)
    {
        if (!Directory.Exists(folder))
            return [];
        if (names[0] == "**")
            return names.Length == 1 ? Match(folder, ["**", "*"])
                : Match(folder, names[1..]).Concat(Directory.EnumerateDirectories(folder).Where(IsSeen).SelectMany(inner => Match(inner, names)));
        var entries = names.Length == 1 ? Directory.EnumerateFiles(folder) : Directory.EnumerateDirectories(folder);
        var matched = entries.Where(e => IsSeen(e) && FileSystemName.MatchesSimpleExpression(names[0], Path.GetFileName(e), ignoreCase: false));
        return names.Length == 1 ? matched.Select(m => m.StartsWith("./", StringComparison.Ordinal) ? m[2..] : m) : matched.SelectMany(m => Match(m, names[1..]));
    }

    /// <summary>No hidden file, such as one that is being written.</summary>
    private static bool IsSeen(string path) => !Path.GetFileName(path).StartsWith('.');
}
