using Halo.Io;
using Halo.Runner.Artifacts;
using Halo.Runner.Training;
using Halo.Runner.Training.Metrics;

namespace Halo.Runner.Runs;

/// <summary>The folder of a run and what lies where in it. Who trains it holds its lock; who reads it changes nothing.</summary>
internal sealed class RunFolder : IDisposable
{
    public const string Kind = "run";

    private const string ConfigName = "config.yaml";

    private readonly bool _isNew;
    private readonly bool _hadFolder;
    private readonly RunLock? _lock;

    private RunFolder(string path, RunLock? held, bool isNew, bool hadFolder) =>
        (Path, _lock, _isNew, _hadFolder) = (System.IO.Path.GetFullPath(path), held, isNew, hadFolder);

    public string Path { get; }

    public string Config => In(ConfigName);

    public string Artifact => In("artifact");

    public string Metrics => In("metrics.jsonl");

    public string EventFile => In(TensorBoardWriter.FileName);

    public string Report => In("report.html");

    /// <summary>The fine-tuned model as a Hugging Face folder.</summary>
    public string Model => In("model");

    /// <summary>The trained adapter, as PEFT saves one, where the model itself is frozen.</summary>
    public string Adapter => In("adapter");

    public string Checkpoints => In("checkpoints");

    /// <summary>What the run was started with. Writing needs the lock.</summary>
    /// <exception cref="HaloException">The file is missing or damaged.</exception>
    public RunRecord Record
    {
        get => RunRecord.Read(RecordFile);
        set => value.Write(RecordFile);
    }

    public string RecordFile => In(RunRecord.FileName);

    public static bool Is(string path) => OwnedFolder.KindOf(path) == Kind;

    /// <summary>A new run in an absent or empty folder, locked.</summary>
    /// <param name="path">The folder.</param>
    /// <param name="configYaml">The run's settings.</param>
    /// <param name="fill">Puts more into the folder, before it is the run's.</param>
    /// <exception cref="HaloException">There is something in the folder, or another process begins a run there.</exception>
    public static RunFolder Create(string path, string configYaml, Action<string>? fill = null)
    {
        CheckFree(path);
        if (File.Exists(path) || (Directory.Exists(path) && !Directory.EnumerateFileSystemEntries(path).All(IsOfAStart)))
            throw new HaloException("train", path, "a new or empty folder", "something that is no run of Halo's", "Choose another output.");
        return Directory.Exists(path) ? InFolder(path, configYaml, fill) : AsFolder(path, configYaml, fill);
    }

    /// <summary>A run, to be read.</summary>
    /// <exception cref="HaloException">There is none.</exception>
    public static RunFolder Open(string path)
    {
        if (!Is(path))
            throw new HaloException("resume", path, "the folder of a run", Directory.Exists(path) ? "another folder" : "no such folder",
                "Name the output of the run to go on with.");
        return new RunFolder(path, held: null, isNew: false, hadFolder: true);
    }

    /// <summary>A run to be gone on with, locked. What ended processes left half-written goes.</summary>
    /// <exception cref="HaloException">There is none, or another process trains it.</exception>
    public static RunFolder Resume(string path)
    {
        _ = Open(path);
        var run = new RunFolder(path, RunLock.Take(path, path), isNew: false, hadFolder: true);
        OwnedFolder.RemoveAbandoned(run.Path);
        OwnedFolder.RemoveAbandoned(run.Checkpoints);
        return run;
    }

    /// <summary>The settings that the run began with.</summary>
    /// <exception cref="HaloException">The file is damaged, or was edited since.</exception>
    public TrainConfig ReadConfig()
    {
        var config = TrainConfig.Load(Config, null, "data", "output") with { Output = Path };
        RunRecord.Hold(Config, Record.ConfigSha256, "settings",
            "Restore the file; halo train --resume RUN --learning-rate X --output NEW goes on with other settings, as a branch of the run.");
        return config;
    }

    /// <summary>The run's artifact: its own, or the one that was its model.</summary>
    /// <exception cref="HaloException">It is not there yet, or another one is.</exception>
    public TrainingArtifact OpenArtifact(TrainConfig config)
    {
        var folder = TrainingArtifact.Is(config.Model) ? config.Model : Artifact;
        CheckMarked(folder);
        if (!TrainingArtifact.Is(folder))
        {
            throw new HaloException("run", Path, "a run whose artifact is written", "none yet",
                "Wait until its trainer has prepared it; if nobody trains it, go on with halo train --resume.");
        }
        HoldArtifact(folder);
        return TrainingArtifact.Open(folder);
    }

    /// <summary>Throws where an artifact has lost its marker: it has its name when it is whole.</summary>
    public static void CheckMarked(string folder)
    {
        if (File.Exists(System.IO.Path.Combine(folder, TrainingArtifact.ManifestName)) && OwnedFolder.KindOf(folder) is null && Directory.Exists(folder))
        {
            throw new HaloException("run", folder, $"an artifact with its {OwnedFolder.MarkerName}", "one without it",
                "Restore the file, or remove the folder: halo train --resume then prepares the artifact again.");
        }
    }

    /// <summary>Throws where an artifact is not the one that the run began with.</summary>
    /// <returns>The digest of its manifest.</returns>
    public string HoldArtifact(string folder) => RunRecord.Hold(
        System.IO.Path.Combine(folder, TrainingArtifact.ManifestName), Record.ArtifactSha256, "artifact",
        "Restore the artifact; another one takes a new run.");

    /// <summary>What a run says whose checkpoints are gone: it never begins again as if it had none.</summary>
    public HaloException LostCheckpoint(int step) => new("run", Checkpoints, $"a checkpoint; that of step {step} was saved last (run.json)", "none",
        "Restore the folder, or begin a new run in another folder.");

    /// <summary>What it says where only the newest is gone.</summary>
    public string MissedCheckpoint(int saved, int step) =>
        $"{Checkpoints}: the checkpoint of step {saved}, which was saved last, is not there; taking that of step {step}";

    /// <summary>Takes back a run that was refused before its first step: its folder is as before <see cref="Create"/>. A run to go on with stays.</summary>
    public void Discard()
    {
        if (!_isNew || !Directory.Exists(Path))
            return;
        if (!_hadFolder)
        {
            OwnedFolder.Remove(Path);
            return;
        }
        // A kill in the middle leaves a run that can be gone on with while there is a folder, and then what the next start knows for a start.
        foreach (var folder in Directory.GetDirectories(Path))
            OwnedFolder.Remove(folder);
        foreach (var file in Directory.GetFiles(Path).OrderBy(f => System.IO.Path.GetFileName(f) != OwnedFolder.MarkerName))
            File.Delete(file);
    }

    public void Dispose() => _lock?.Dispose();

    private static void CheckFree(string path)
    {
        if (Is(path))
            throw new HaloException("train", path, "a new folder", "a run", "Give --resume to go on with it, or choose another output.");
    }

    /// <summary>Where there is no folder one is made whole beside its place, with the lock held before it has its name.</summary>
    private static RunFolder AsFolder(string path, string configYaml, Action<string>? fill)
    {
        RunLock? held = null;
        try
        {
            OwnedFolder.Create(path, Kind, folder =>
            {
                held = RunLock.Take(folder, path);
                Begin(folder, configYaml, fill);
            });
        }
        catch
        {
            held?.Dispose();
            CheckFree(path); // another process was first
            throw;
        }
        return new RunFolder(path, held, isNew: true, hadFolder: false);
    }

    /// <summary>In a folder that is there the marker comes last: a marked run has its config.</summary>
    private static RunFolder InFolder(string path, string configYaml, Action<string>? fill)
    {
        var run = new RunFolder(path, RunLock.Take(path, path), isNew: true, hadFolder: true);
        try
        {
            CheckFree(path);
        }
        catch
        {
            run.Dispose();
            throw;
        }
        try
        {
            foreach (var left in Directory.GetFiles(run.Path).Where(file => System.IO.Path.GetFileName(file) != RunLock.FileName))
                File.Delete(left);
            Begin(run.Path, configYaml, fill);
            DiskSync.Tree(run.Path);
            OwnedFolder.Mark(run.Path, Kind);
        }
        catch
        {
            run.Discard();
            run.Dispose();
            throw;
        }
        return run;
    }

    private static void Begin(string folder, string configYaml, Action<string>? fill)
    {
        var config = System.IO.Path.Combine(folder, ConfigName);
        AtomicFile.WriteText(config, configYaml);
        new RunRecord(Sources.GraphRewriter.Sha256(config)).Write(System.IO.Path.Combine(folder, RunRecord.FileName));
        fill?.Invoke(folder);
    }

    /// <summary>What a process that was killed while it began a run may have left in the folder: settings without a marker, or half of either.</summary>
    private static bool IsOfAStart(string entry) => File.Exists(entry) && System.IO.Path.GetFileName(entry) is var name
        && (name is ConfigName or RunRecord.FileName or RunLock.FileName
            || (name.StartsWith('.') && name.EndsWith(".partial", StringComparison.Ordinal)
                && new[] { ConfigName, RunRecord.FileName, OwnedFolder.MarkerName }.Any(of => name.StartsWith("." + of, StringComparison.Ordinal))));

    private string In(string name) => System.IO.Path.Combine(Path, name);
}
