using System.Text.Json;
using Halo.Io;
using Halo.Runner.Data;
using Halo.Runner.Sources;

namespace Halo.Runner.Runs;

/// <summary>run.json: what a run was started with, as digests, and how far its checkpoints have come. What is read again is held to it.</summary>
/// <param name="ConfigSha256">Of config.yaml.</param>
internal sealed record RunRecord(string ConfigSha256)
{
    public const string FileName = "run.json";

    private const string Advice = "Restore the file, or start a new run, from --weights of a checkpoint of this one or anew.";

    /// <summary>Of the artifact's manifest.json, which has the digests of its other files; null until it was first opened.</summary>
    public string? ArtifactSha256 { get; init; }

    /// <summary>Of the training data; null until they were read.</summary>
    public string? DataSha256 { get; init; }

    /// <summary>Of the validation data; null until they were read, or without any.</summary>
    public string? ValidSha256 { get; init; }

    /// <summary>The newest checkpoint that was saved whole; null before the first.</summary>
    public int? NewestCheckpoint { get; init; }

    /// <summary>Where the run comes from; null for one that began with its model's weights.</summary>
    public BranchOrigin? Branch { get; init; }

    /// <summary>Reads it. A run has one from its first moment on: without it nothing would be held to what the run began with.</summary>
    /// <exception cref="HaloException">Not there, damaged, or without a digest that the run had.</exception>
    public static RunRecord Read(string path)
    {
        FilePlace.RequireRegular(path);
        try
        {
            var record = JsonSerializer.Deserialize<RunRecord>(File.ReadAllText(path), JsonText.Strict) ?? throw new JsonException("null");
            return record.NewestCheckpoint is null || record.HasDigests ? record
                : throw new JsonException("a checkpoint, but no digest of the artifact or the data that came before it");
        }
        catch (Exception e) when (e is JsonException or IOException or UnauthorizedAccessException)
        {
            var found = e is FileNotFoundException or DirectoryNotFoundException ? "no such file" : e.Message.TrimEnd('.');
            throw new HaloException("run", path, "what the run was started with", found, Advice, e);
        }
    }

    /// <summary>Throws where a run that has a checkpoint has no digest of what the checkpoint was trained from.</summary>
    /// <param name="path">The record's file, for messages.</param>
    /// <param name="evaluates">Whether the run has validation data.</param>
    /// <exception cref="HaloException">A digest is missing.</exception>
    public void RequireDigests(string path, bool evaluates)
    {
        if (!HasDigests || (evaluates && ValidSha256 is null))
            throw new HaloException("run", path, "digests of artifact, data and validation data, as of every run with a checkpoint", "less", Advice);
    }

    private bool HasDigests => ArtifactSha256 is not null && DataSha256 is not null;

    public void Write(string path) => AtomicFile.WriteText(path, JsonSerializer.Serialize(this, JsonText.Readable) + "\n");

    /// <summary>Throws where a file is not the one that the run began with.</summary>
    /// <param name="path">The file.</param>
    /// <param name="recorded">Its digest; null where none was kept.</param>
    /// <param name="what">What messages call it.</param>
    /// <param name="advice">What to do about it.</param>
    /// <returns>The file's digest.</returns>
    /// <exception cref="HaloException">Other content, or no such file.</exception>
    public static string Hold(string path, string? recorded, string what, string advice)
    {
        if (!File.Exists(path))
            throw new HaloException("run", path, $"the {what} that the run began with", "no such file", advice);
        return Hold(path, GraphRewriter.Sha256(path), recorded, what, advice);
    }

    /// <summary>As above, of the files that a setting names.</summary>
    public static string HoldData(string data, string? recorded, string what, string advice)
    {
        var files = DataFiles.Of(data);
        if (files.FirstOrDefault(f => !File.Exists(f.Path)) is { } lost)
            throw new HaloException("run", lost.Path, $"the {what} that the run began with", "no such file", advice);
        return Hold(data, DataFiles.Sha256(files), recorded, what, advice);
    }

    private static string Hold(string path, string found, string? recorded, string what, string advice)
    {
        return recorded is null || recorded == found ? found
            : throw new HaloException("run", path, $"the {what} that the run began with (run.json)", "other content", advice);
    }
}

/// <summary>The run and the checkpoint that a run goes on from with other settings.</summary>
/// <param name="Run">The folder of the other run, as it was named then.</param>
/// <param name="Step">Updates done in it.</param>
/// <param name="Changed">By key: its value there and its value here, as text of YAML.</param>
internal sealed record BranchOrigin(string Run, int Step, IReadOnlyDictionary<string, BranchChange> Changed);

/// <summary>A setting that a branch has otherwise.</summary>
internal sealed record BranchChange(string? From, string? To);
