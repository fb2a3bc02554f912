using Halo.Io;
using Halo.Runner.Training.Metrics;

namespace Halo.Runner.Runs;

/// <summary>The folder of a run and what lies where in it.</summary>
public sealed class RunFolder
{
    public const string Kind = "run";

    private const string ConfigName = "config.yaml";

    private readonly bool _isNew;
    private readonly bool _hadFolder;

    private RunFolder(string path, bool isNew)
    {
        Path = System.IO.Path.GetFullPath(path);
        (_isNew, _hadFolder) = (isNew, Directory.Exists(Path));
    }

    public string Path { get; }

    public string Config => In(ConfigName);

    public string Artifact => In("artifact");

    public string Metrics => In("metrics.jsonl");

    public string EventFile => In(TensorBoardWriter.FileName);

    public string Report => In("report.html");

    /// <summary>The fine-tuned model as a Hugging Face folder.</summary>
    public string Model => In("model");

    public string Checkpoints => In("checkpoints");

    public static bool Is(string path) => Directory.Exists(path) && OwnedFolder.KindOf(path) == Kind;

    /// <summary>A new run in an absent or empty folder.</summary>
    /// <exception cref="HaloException">There is something in the folder.</exception>
    public static RunFolder Create(string path, string configYaml)
    {
        if (Is(path))
            throw new HaloException("train", path, "a new folder", "a run", "Give --resume to go on with it, or choose another output.");
        if (File.Exists(path) || (Directory.Exists(path) && !Directory.EnumerateFileSystemEntries(path).All(IsOfAStart)))
            throw new HaloException("train", path, "a new or empty folder", "something that is no run of Halo's", "Choose another output.");
        var run = new RunFolder(path, isNew: true);
        try
        {
            // Where there is no folder one is made whole beside its place; in one that is there the marker comes last: a marked run has its config.
            if (!run._hadFolder)
            {
                OwnedFolder.Write(run.Path, Kind, folder => AtomicFile.WriteText(System.IO.Path.Combine(folder, ConfigName), configYaml));
                return run;
            }
            foreach (var left in Directory.GetFiles(run.Path))
                File.Delete(left);
            AtomicFile.WriteText(run.Config, configYaml);
            OwnedFolder.Mark(run.Path, Kind);
        }
        catch
        {
            run.Discard();
            throw;
        }
        return run;
    }

    /// <summary>What a process that was killed while it began a run may have left in the folder: settings without a marker, or half of either.</summary>
    private static bool IsOfAStart(string entry) => File.Exists(entry) && System.IO.Path.GetFileName(entry) is var name
        && (name == ConfigName || (name.StartsWith('.') && name.EndsWith(".partial", StringComparison.Ordinal)
            && (name.Contains(ConfigName, StringComparison.Ordinal) || name.Contains(OwnedFolder.MarkerName, StringComparison.Ordinal))));

    /// <exception cref="HaloException">There is no run.</exception>
    public static RunFolder Open(string path)
    {
        if (!Is(path))
            throw new HaloException("resume", path, "the folder of a run", Directory.Exists(path) ? "another folder" : "no such folder",
                "Name the output of the run to go on with.");
        var run = new RunFolder(path, isNew: false);
        foreach (var partial in Directory.GetFileSystemEntries(run.Path, ".*.partial*"))
        {
            if (Directory.Exists(partial))
                Directory.Delete(partial, recursive: true);
            else
                File.Delete(partial);
        }
        return run;
    }

    /// <summary>Takes back a run that was refused before its first step: its folder is as before <see cref="Create"/>. A run to go on with stays.</summary>
    public void Discard()
    {
        if (!_isNew || !Directory.Exists(Path))
            return;
        foreach (var folder in _hadFolder ? Directory.GetDirectories(Path) : [Path])
            Directory.Delete(folder, recursive: true);
        foreach (var file in _hadFolder ? Directory.GetFiles(Path) : [])
            File.Delete(file);
    }

    private string In(string name) => System.IO.Path.Combine(Path, name);
}
