using System.Diagnostics;
using System.Globalization;

namespace Halo.Tests.Fuzz;

/// <summary>Readers of text take damaged and hostile files: what they refuse is a <see cref="HaloException"/>, in bounded time.</summary>
/// <remarks>
/// A hundred files a reader, the same ones everywhere; HALO_FUZZ_SECONDS and HALO_FUZZ_SEED make it hours by hand. A file that fails is
/// kept in the system's temporary folder under halo-fuzz,
/// where also the file at hand lies should the process end; it belongs into Fixtures/fuzz, whose files are read here as well.
/// </remarks>
public class TextReaderFuzzTests
{
    private const double SecondsAFile = 5;
    private const int Files = 100;
    private static readonly double? Seconds =
        Environment.GetEnvironmentVariable("HALO_FUZZ_SECONDS") is { } text ? double.Parse(text, CultureInfo.InvariantCulture) : null;
    private static readonly int Seed = int.Parse(Environment.GetEnvironmentVariable("HALO_FUZZ_SEED") ?? "20261128", CultureInfo.InvariantCulture);

    public static TheoryData<string> Readers => [.. FuzzedReader.All.Keys];

    [Theory]
    [MemberData(nameof(Readers))]
    public void A_changed_file_is_read_or_refused(string name)
    {
        var reader = FuzzedReader.All[name];
        var (files, random, count) = (reader.Files(), new Random(Seed), 0L);
        var mutator = new Mutator(random, reader.Dictionary);
        var folder = Directory.CreateDirectory(Path.Combine(Path.GetTempPath(), "halo-fuzz", $"{name}-{Environment.ProcessId}")).FullName;
        for (var watch = Stopwatch.StartNew(); Seconds is { } limit ? watch.Elapsed.TotalSeconds < limit : count < Files; count++)
        {
            var file = mutator.Change(files[random.Next(files.Count)], files[random.Next(files.Count)]);
            if (Failure(reader, file, folder) is { } failure)
            {
                var kept = $"{folder}-seed{Seed}-{count}";
                File.WriteAllBytes(kept, file);
                Assert.Fail($"{name}, file {count} of seed {Seed}, kept as {kept}: {failure}");
            }
        }
        Directory.Delete(folder, recursive: true);
        Console.WriteLine($"{name}: {count} files");
    }

    /// <summary>Files that once failed, by reader.</summary>
    [Fact]
    public void Past_failures_are_read_or_refused()
    {
        var count = 0;
        foreach (var kept in Directory.GetFiles(Path.Combine(AppContext.BaseDirectory, "Fixtures", "fuzz"), "*", SearchOption.AllDirectories))
        {
            var reader = FuzzedReader.All[Path.GetFileName(Path.GetDirectoryName(kept)!)];
            using var folder = new TemporaryFolder();
            Assert.Equal((kept, null), (kept, Failure(reader, File.ReadAllBytes(kept), folder.Path)));
            count++;
        }
        Assert.True(count > 10, $"{count} files");
    }

    /// <summary>A file that takes long is read again, as the machine may have done something else meanwhile.</summary>
    private static string? Failure(FuzzedReader reader, byte[] file, string folder)
    {
        File.WriteAllBytes(Path.Combine(folder, reader.FileName), file);
        var least = double.MaxValue;
        for (var left = 3; left > 0 && least > SecondsAFile; left--)
        {
            var clock = new WorkClock();
            try { reader.Read(folder); }
            catch (HaloException) { /* what is refused */ }
            catch (Exception e) { return e.ToString(); }
            least = Math.Min(least, clock.Seconds);
        }
        return least > SecondsAFile ? $"{least:f1} s" : null;
    }
}
