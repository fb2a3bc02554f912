namespace Halo.Training;

/// <summary>Holds what a verb or a call writes apart from what it reads, before it does any work.</summary>
internal static class Outputs
{
    /// <summary>Throws where an output is an input, or a folder around one, by whatever links it is named; or where two outputs are one file.</summary>
    /// <param name="verb">Who complains.</param>
    /// <param name="outputs">Option and path; a null is one that was not given.</param>
    /// <param name="inputs">Files and folders that are read; a null is one that was not given.</param>
    /// <exception cref="HaloException">Names the output.</exception>
    public static void Check(string verb, IReadOnlyList<(string Option, string? Path)> outputs, params IReadOnlyList<string?> inputs)
    {
        var read = inputs.OfType<string>().Select(Real).ToList();
        var written = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var (option, path) in outputs)
        {
            if (path is null)
                continue;
            if (path.Length == 0)
                throw new HaloException(verb, option, "a path", "an empty text", "Name what is to be written.");
            var real = Real(path);
            if (read.FirstOrDefault(input => input == real || input.StartsWith(real + Path.DirectorySeparatorChar, StringComparison.Ordinal)) is { } input)
            {
                throw new HaloException(verb, $"{option} {path}", "another place than what is read",
                    input == real ? "the input itself" : $"a folder around {input}", "Choose another output: the input would be lost.");
            }
            if (!written.TryAdd(real, option))
                throw new HaloException(verb, $"{option} {path}", $"another place than {written[real]}", "the same", "Choose another output.");
        }
    }

    /// <summary>The path without links in it; of what is not there, that of the folders that are.</summary>
    private static string Real(string path)
    {
        path = Path.TrimEndingDirectorySeparator(Path.GetFullPath(path));
        for (var links = 0; links < 40 && Link(path) is { } target; links++)
            path = Path.TrimEndingDirectorySeparator(target);
        return Path.GetDirectoryName(path) is { } folder ? Path.Combine(Real(folder), Path.GetFileName(path)) : path;
    }

    private static string? Link(string path)
    {
        try
        {
            return Directory.Exists(path) ? Directory.ResolveLinkTarget(path, returnFinalTarget: false)?.FullName
                : File.ResolveLinkTarget(path, returnFinalTarget: false)?.FullName;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
