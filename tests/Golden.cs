using System.Globalization;
using System.Runtime.CompilerServices;

namespace Halo.Tests;

/// <summary>Text kept under version control and compared with what the program writes.</summary>
public static class Golden
{
    /// <param name="path">Below the folder of the tests.</param>
    /// <param name="actual">What the program writes.</param>
    public static void Check(string path, string actual)
    {
        var file = Path.Combine(AppContext.BaseDirectory, path);
        if (Environment.GetEnvironmentVariable("HALO_UPDATE_GOLDEN") == "1")
        {
            Assert.False(Environment.GetEnvironmentVariable("CI") == "true", "Goldens are not rewritten in CI; rewrite them at home and read the difference.");
            Directory.CreateDirectory(Path.GetDirectoryName(Path.Combine(SourceFolder(), path))!);
            Directory.CreateDirectory(Path.GetDirectoryName(file)!);
            File.WriteAllText(Path.Combine(SourceFolder(), path), actual);
            File.WriteAllText(file, actual);
        }
        Assert.True(File.Exists(file), $"{path} is missing; HALO_UPDATE_GOLDEN=1 writes it.");
        Assert.Equal(File.ReadAllText(file), actual);
    }

    /// <summary>Numbers, one a line, that are compared with a tolerance: the golden ones, or <paramref name="actual"/> while goldens are rewritten.</summary>
    public static IReadOnlyList<double> Numbers(string path, IEnumerable<double> actual)
    {
        if (Environment.GetEnvironmentVariable("HALO_UPDATE_GOLDEN") == "1")
            Check(path, string.Concat(actual.Select(v => v.ToString("G7", CultureInfo.InvariantCulture) + "\n")));
        var file = Path.Combine(AppContext.BaseDirectory, path);
        Assert.True(File.Exists(file), $"{path} is missing; HALO_UPDATE_GOLDEN=1 writes it.");
        return [.. File.ReadLines(file).Select(line => double.Parse(line, CultureInfo.InvariantCulture))];
    }

    private static string SourceFolder([CallerFilePath] string here = "") => Path.GetDirectoryName(here)!;
}
