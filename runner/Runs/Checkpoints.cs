using System.Text.Json;
using Halo.Io;
using Halo.Models.Json;
using Halo.Models.Optimizer;
using Halo.Models.Weights;
using Halo.Runner.Training.Engine;

namespace Halo.Runner.Runs;

/// <summary>Where a run stands. The data position follows from the step: batches are random access.</summary>
/// <param name="Step">Updates done.</param>
/// <param name="Epoch">Of the next batch, from 0.</param>
/// <param name="BatchInEpoch">Of the next batch, from 0.</param>
/// <param name="DataSha256">Hash of the training data; the order of rows means nothing over other data.</param>
/// <param name="ValidLoss">Validation loss at this step; null where it was not evaluated.</param>
public sealed record RunState(int Step, int Epoch, int BatchInEpoch, string DataSha256, double? ValidLoss);

/// <summary>The checkpoints of a run: folders <c>step-00000060</c>, each whole or not there.</summary>
/// <remarks>
/// model.safetensors holds the float32 masters under their Hugging Face names, optimizer.safetensors the moments (exp_avg.P, exp_avg_sq.P),
/// state.json the <see cref="RunState"/>. The newest K are kept, and the one of the least validation loss.
/// </remarks>
public sealed class Checkpoints(string folder, int keep)
{
    private const string Kind = "checkpoint";
    private const string StateName = "state.json";

    public string PathOf(int step) => Path.Combine(folder, $"step-{step:D8}");

    /// <summary>Weights of a checkpoint, for reading.</summary>
    public static string WeightsOf(string checkpoint) => Path.Combine(checkpoint, "model.safetensors");

    public void Save(TrainingEngine engine, RunState state)
    {
        OwnedFolder.Write(PathOf(state.Step), Kind, target =>
        {
            SafetensorsWriter.Write(WeightsOf(target), [.. engine.Parameters.Sources()]);
            SafetensorsWriter.Write(Path.Combine(target, "optimizer.safetensors"),
                [.. engine.FirstMoments.Sources(AdamWGraph.FirstMoment), .. engine.SecondMoments.Sources(AdamWGraph.SecondMoment)]);
            AtomicFile.WriteText(Path.Combine(target, StateName), JsonSerializer.Serialize(state, JsonText.Readable) + "\n");
        });
        Prune();
    }

    /// <summary>The state of the newest checkpoint; null if there is none. What a kill left half-written is removed.</summary>
    public RunState? Newest()
    {
        if (!Directory.Exists(folder))
            return null;
        foreach (var partial in Directory.GetDirectories(folder, ".*.partial*"))
            Directory.Delete(partial, recursive: true);
        return All().LastOrDefault();
    }

    /// <summary>The checkpoint of the least validation loss; null where none was evaluated.</summary>
    public RunState? Best() => All().Where(s => s.ValidLoss is not null).MinBy(s => s.ValidLoss);

    /// <summary>Fills the engine's buffers from a checkpoint.</summary>
    public void Load(TrainingEngine engine, RunState state)
    {
        using var weights = SafetensorsFile.Open(WeightsOf(PathOf(state.Step)));
        engine.Parameters.Load(weights.Path, weights.Tensors);
        using var moments = SafetensorsFile.Open(Path.Combine(PathOf(state.Step), "optimizer.safetensors"));
        engine.FirstMoments.Load(moments.Path, moments.Tensors, AdamWGraph.FirstMoment);
        engine.SecondMoments.Load(moments.Path, moments.Tensors, AdamWGraph.SecondMoment);
    }

    private void Prune()
    {
        var all = All();
        var best = Best()?.Step;
        foreach (var old in all.SkipLast(keep).Where(s => s.Step != best))
        {
            // Renamed first: a kill in the middle of the deletion must not leave half a checkpoint under its name.
            var doomed = Path.Combine(folder, $".step-{old.Step:D8}.{Environment.ProcessId}.partial");
            Directory.Move(PathOf(old.Step), doomed);
            Directory.Delete(doomed, recursive: true);
        }
    }

    private List<RunState> All() =>
        [.. Directory.GetDirectories(folder, "step-*").Where(d => OwnedFolder.KindOf(d) == Kind).Order(StringComparer.Ordinal).Select(ReadState)];

    private static RunState ReadState(string checkpoint)
    {
        var path = Path.Combine(checkpoint, StateName);
        try
        {
            return JsonSerializer.Deserialize<RunState>(File.ReadAllText(path), JsonText.Readable) ?? throw new JsonException("null");
        }
        catch (Exception e) when (e is JsonException or IOException)
        {
            throw new HaloException("resume", path, "the state of a checkpoint", e.Message.TrimEnd('.'),
                "Remove this checkpoint's folder to go on from the one before it.", e);
        }
    }
}
