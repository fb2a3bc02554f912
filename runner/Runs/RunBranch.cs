using System.Globalization;
using Halo.Io;
using Halo.Runner.Training;
using Halo.Runner.Training.Config;

namespace Halo.Runner.Runs;

/// <summary>A new run that goes on from a checkpoint of another one with other settings: its weights, moments and step.</summary>
/// <remarks>
/// The graphs are those of the other run, so settings that a graph follows from stay. The branch has an artifact, a checkpoint and metrics of its own, large
/// files by clone or link, and stands alone; where it comes from and what was changed is in its run.json.
/// </remarks>
internal static class RunBranch
{
    /// <summary>Whether a branch may have another value of a setting: it is of the loop, not of the graphs or the rows' meaning.</summary>
    public static bool Takes(string key) => key is not ("data" or "data_format" or "learn" or "output")
        && ConfigKey.OfTrainConfig.Any(k => k.Name == key && k.IsUsedBy(ConfigUse.Train) && !k.IsUsedBy(ConfigUse.Prepare));

    /// <param name="path">The run to go on from; it may be trained meanwhile.</param>
    /// <param name="changes">Settings by key, as given.</param>
    /// <param name="output">The branch's folder, new or empty.</param>
    /// <param name="step">Of the checkpoint; null: the newest.</param>
    /// <returns>Settings and folder of the branch, locked.</returns>
    /// <exception cref="HaloException">A setting that a branch cannot change, no such checkpoint, or an output that is not free.</exception>
    public static (TrainConfig Config, RunFolder Run) Begin(string path, IReadOnlyDictionary<string, string> changes, string output, int? step)
    {
        if (changes.Keys.FirstOrDefault(key => !Takes(key)) is { } fixedKey)
        {
            throw new HaloException("resume", $"--{fixedKey.Replace('_', '-')}", "a setting of the loop, which leaves graphs and data as they are",
                "one that they follow from",
                $"A branch takes {string.Join(", ", ConfigKey.OfTrainConfig.Where(k => Takes(k.Name)).Select(k => k.Name))}; for others start a new run "
                + "with --weights of a checkpoint.");
        }
        using var source = RunFolder.Open(path);
        var old = source.ReadConfig();
        var config = TrainConfig.Load(source.Config, changes, "data", "output") with { Output = Path.GetFullPath(output) };
        var artifact = source.OpenArtifact(old);
        var checkpoints = new Checkpoints(source.Checkpoints, keep: 1);
        var checkpoint = checkpoints.At(step);
        var changed = ConfigKey.OfTrainConfig.Where(k => k.Name != "output" && !Equals(k.Property.GetValue(old), k.Property.GetValue(config)))
            .Where(k => k.Type != typeof(IReadOnlyList<QuantizeRule>))
            .ToDictionary(k => k.Name, k => new BranchChange(Text(k.Property.GetValue(old)), Text(k.Property.GetValue(config))));
        var valid = config.Valid is null ? null
            : RunRecord.HoldData(config.Valid, config.Valid == old.Valid ? source.Record.ValidSha256 : null, "validation data", "Restore the file, or give another.");
        var run = RunFolder.Create(output, config.ToYaml(), folder =>
        {
            if (artifact.Folder == source.Artifact)
                Copy(artifact.Folder, Path.Combine(folder, Path.GetFileName(source.Artifact)));
            var from = checkpoints.PathOf(checkpoint.Step);
            Copy(from, Path.Combine(folder, Path.GetFileName(source.Checkpoints), Path.GetFileName(from)));
            if (File.Exists(source.Metrics))
                File.Copy(source.Metrics, Path.Combine(folder, Path.GetFileName(source.Metrics)));
            var record = Path.Combine(folder, RunRecord.FileName);
            (RunRecord.Read(record) with
            {
                ArtifactSha256 = source.HoldArtifact(artifact.Folder),
                DataSha256 = checkpoint.DataSha256,
                ValidSha256 = valid,
                NewestCheckpoint = checkpoint.Step,
                Branch = new BranchOrigin(source.Path, checkpoint.Step, changed),
            }).Write(record);
        });
        return (config, run);
    }

    /// <summary>The next free name behind the run's own: RUN-2, RUN-3 and so on.</summary>
    public static string FreeName(string run)
    {
        run = Path.TrimEndingDirectorySeparator(Path.GetFullPath(run));
        for (var n = 2; ; n++)
        {
            if (!Path.Exists($"{run}-{n}"))
                return $"{run}-{n}";
        }
    }

    private static void Copy(string source, string target)
    {
        Directory.CreateDirectory(target);
        foreach (var file in Directory.EnumerateFiles(source))
            FilePlacement.Put(file, Path.Combine(target, Path.GetFileName(file)));
        foreach (var inner in Directory.EnumerateDirectories(source))
            Copy(inner, Path.Combine(target, Path.GetFileName(inner)));
    }

    private static string? Text(object? value) =>
        value is Enum name ? ConfigKey.NameOf(name.ToString()) : System.Convert.ToString(value, CultureInfo.InvariantCulture);
}
