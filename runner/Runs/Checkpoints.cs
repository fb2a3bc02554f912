using System.Text.Json;
using System.Runtime.InteropServices;
using Halo.Analysis;
using Halo.Io;
using Halo.Ir;
using Halo.Models.Optimizer;
using Halo.Models.Weights;
using Halo.Passes.Sharding;
using Halo.Passes.Training;
using Halo.Runner.Distributed;
using Halo.Runner.Training.Engine;

namespace Halo.Runner.Runs;

/// <summary>Where a run stands. The data position follows from the step: batches are random access.</summary>
/// <param name="Step">Updates done.</param>
/// <param name="Epoch">Of the next batch, from 0.</param>
/// <param name="BatchInEpoch">Of the next batch, from 0.</param>
/// <param name="DataSha256">Hash of the training data; the order of rows means nothing over other data.</param>
/// <param name="ValidLoss">Validation loss at this step; null where it was not evaluated.</param>
internal sealed record RunState(int Step, int Epoch, int BatchInEpoch, string DataSha256, double? ValidLoss)
{
    /// <summary>The gradient norm of the last update, by which the next is clipped under <c>clip_by: previous_step</c>; null in other runs.</summary>
    public double? GradientNorm { get; init; }

    /// <summary>The digest of every tensor (<see cref="TensorDigests"/>), by file; null until it is written.</summary>
    public IReadOnlyDictionary<string, IReadOnlyDictionary<string, string>>? Digests { get; init; }
}

/// <summary>The checkpoints of a run: folders <c>step-00000060</c>, each whole or not there.</summary>
/// <remarks>
/// model.safetensors holds the parameters (those of the adapter where one is trained), float32 masters or bfloat16 (states), under their Hugging Face names,
/// optimizer.safetensors the moments (exp_avg.P, exp_avg_sq.P; those of 8 bits, the bits of E4M3, the second one's of its root, with exp_avg_scales.P and
/// exp_avg_sq_scales.P; of chosen rows where those are trained, and rows.P), state.json the <see cref="RunState"/>. The newest K are kept, and the one of the
/// least validation loss. Ranks that keep what rounding leaves of sent gradients write residuals.safetensors too, residual.P with the rows of all ranks, one rank's
/// behind the other's.
/// </remarks>
internal sealed class Checkpoints(string folder, int keep)
{
    public const string Kind = "checkpoint";

    private const string StateName = "state.json", WeightsName = "model.safetensors", MomentsName = "optimizer.safetensors", ResidualsName = "residuals.safetensors";
    private const string Advice = "The file was damaged or exchanged: remove this checkpoint's folder to go on from the one before it.";

    public string PathOf(int step) => Path.Combine(folder, NameOf(step));

    private static string NameOf(int step) => $"step-{step:D8}";

    /// <summary>Weights of a checkpoint, for reading.</summary>
    public static string WeightsOf(string checkpoint) => Path.Combine(checkpoint, WeightsName);

    /// <summary>Writes a checkpoint, brings it onto the disk, and then deletes those that need not be kept.</summary>
    public void Save(TrainingEngine engine, RunState state)
    {
        OwnedFolder.Write(PathOf(state.Step), Kind, target =>
        {
            var digests = new OrderedDictionary<string, IReadOnlyDictionary<string, string>>
            {
                [WeightsName] = SafetensorsWriter.Write(WeightsOf(target), [.. engine.Parameters.ExactSources().Where(s => engine.Saved.Contains(s.Name))]),
                [MomentsName] = SafetensorsWriter.Write(Path.Combine(target, MomentsName),
                    [.. engine.Moments.SelectMany(m => m.Buffers.ExactSources(m.Prefix)),
                    .. engine.Chosen.Parameters.Select(name => RowsOf(engine.Chosen, name))]),
            };
            AtomicFile.WriteText(Path.Combine(target, StateName), JsonSerializer.Serialize(state with { Digests = digests }, JsonText.Readable) + "\n");
        });
        Prune();
    }

    /// <summary>The same by all ranks, each of which writes its rows: one checkpoint, as one rank would have written it.</summary>
    public void Save(TrainingEngine engine, RunState state, World world, Rows rows)
    {
        var files = new SharedFiles(world, rows, engine.Saved);
        (string, IReadOnlyList<(ParameterBuffers, string)>)[] content =
        [
            (WeightsName, [(engine.Parameters, "")]),
            (MomentsName, [(engine.FirstMoments, AdamWGraph.FirstMoment), (engine.SecondMoments, AdamWGraph.SecondMoment)]),
        ];
        if (!world.IsFirst)
        {
            Write(null);
            return;
        }
        OwnedFolder.Write(PathOf(state.Step), Kind, target => AtomicFile.WriteText(Path.Combine(target, StateName),
            JsonSerializer.Serialize(state with { Digests = Write(target) }, JsonText.Readable) + "\n"));
        Prune();

        IReadOnlyDictionary<string, IReadOnlyDictionary<string, string>> Write(string? target)
        {
            var digests = files.Write(target, content);
            if (engine.Residuals.Parameters.Count == 0)
                return digests;
            var residuals = new SharedFiles(world, ResidualRows(engine, world), engine.Saved);
            return digests.Concat(residuals.Write(target, [(ResidualsName, [(engine.Residuals, TrainingNames.ResidualPrefix)])]))
                .ToDictionary(f => f.Key, f => f.Value, StringComparer.Ordinal);
        }
    }

    /// <summary>Where a rank's residuals lie in the file: those of all ranks one behind the other.</summary>
    private static Rows ResidualRows(TrainingEngine engine, World world) => new(world.Plan with { Mode = ShardMode.Full },
        engine.Residuals.Parameters.ToDictionary(p => p.Name, p => Shape.Of([p.Shape.Sizes[0] * world.Rank.Count, .. p.Shape.Sizes[1..]]), StringComparer.Ordinal));

    /// <summary>The state of the newest checkpoint; null if there is none.</summary>
    public RunState? Newest() => All().LastOrDefault();

    /// <summary>The state of the checkpoint of a step; of the newest where none is named.</summary>
    /// <exception cref="HaloException">There is none.</exception>
    public RunState At(int? step)
    {
        var all = All();
        return (step is null ? all.LastOrDefault() : all.FirstOrDefault(s => s.Step == step))
            ?? throw new HaloException("resume", folder, step is null ? "a checkpoint" : $"a checkpoint of step {step}",
                all.Count == 0 ? "none" : $"those of {string.Join(", ", all.Select(s => s.Step))}",
                all.Count == 0 ? "Start a new run: this one has saved none." : "Give one of them, or leave it out for the newest.");
    }

    /// <summary>The checkpoint of the least validation loss; null where none was evaluated.</summary>
    public RunState? Best() => All().Where(s => s.ValidLoss is not null).MinBy(s => s.ValidLoss);

    /// <summary>The weights of the newest checkpoint, also beside a trainer that saves and deletes meanwhile; null if there is none.</summary>
    /// <exception cref="HaloException">It is damaged.</exception>
    public (CheckpointReader Weights, int Step)? OpenNewestWeights()
    {
        while (Newest() is { } state)
        {
            try
            {
                return (OpenWeights(state), state.Step);
            }
            catch (HaloException) when (!Directory.Exists(PathOf(state.Step))) { /* deleted meanwhile: there is a newer one */ }
        }
        return null;
    }

    /// <summary>The weights of the checkpoint of the least validation loss; null if none was evaluated.</summary>
    /// <exception cref="HaloException">It is damaged.</exception>
    public (CheckpointReader Weights, int Step)? OpenBestWeights() => Best() is { } best ? (OpenWeights(best), best.Step) : null;

    /// <summary>Fills the engine's buffers from a checkpoint.</summary>
    /// <exception cref="HaloException">It is damaged, or of another model.</exception>
    public void Load(TrainingEngine engine, RunState state)
    {
        RequireResiduals(engine, state, 1);
        using var weights = SafetensorsFile.Open(WeightsOf(PathOf(state.Step)));
        using var moments = SafetensorsFile.Open(Path.Combine(PathOf(state.Step), MomentsName));
        Check(weights, WeightsName, state);
        Check(moments, MomentsName, state);
        engine.Parameters.Load(weights.Path, weights.Tensors,
            only: engine.Parameters.Parameters.Where(p => engine.Saved.Contains(p.Name)));
        foreach (var (prefix, buffers) in engine.Moments)
        {
            if (buffers.Type == ElementType.UInt8)
                buffers.LoadExact(moments.Path, moments.Tensors, prefix);
            else
                buffers.Load(moments.Path, moments.Tensors, prefix);
        }
        foreach (var name in engine.Chosen.Parameters)
        {
            var bytes = moments.Tensors.TryGetValue(ChooseRows.Prefix + name, out var rows) && rows.DType == ElementType.Int64 ? rows.Bytes() : default;
            if (bytes.Length != engine.Chosen.Of(name).Length * sizeof(long))
                throw new HaloException("resume", $"{moments.Path}: '{ChooseRows.Prefix}{name}'", "the rows that are trained", "none, or others", Advice);
            engine.Chosen.Set(name, [.. MemoryMarshal.Cast<byte, long>(bytes)]);
        }
        engine.PreviousNorm = state.GradientNorm ?? 0;
    }

    private static SafetensorsSource RowsOf(ChosenRows chosen, string name)
    {
        var rows = chosen.Of(name);
        return new SafetensorsSource(ChooseRows.Prefix + name, ElementType.Int64, [rows.Length], MemoryMarshal.AsBytes(rows.AsSpan()).ToArray());
    }

    /// <summary>The same on a rank, whose buffers take their rows; ranks share the reading of what the digests are of.</summary>
    public void Load(TrainingEngine engine, RunState state, World world, Rows rows)
    {
        using var weights = SafetensorsFile.Open(WeightsOf(PathOf(state.Step)));
        using var moments = SafetensorsFile.Open(Path.Combine(PathOf(state.Step), MomentsName));
        world.Together("checkpoint: its digests", () =>
        {
            Check(weights, WeightsName, state, (world.Rank.Index, world.Rank.Count));
            Check(moments, MomentsName, state, (world.Rank.Index, world.Rank.Count));
        });
        engine.Parameters.Load(weights.Path, weights.Tensors, "", rows, engine.Parameters.Parameters.Where(p => engine.Saved.Contains(p.Name)));
        engine.FirstMoments.Load(moments.Path, moments.Tensors, AdamWGraph.FirstMoment, rows);
        engine.SecondMoments.Load(moments.Path, moments.Tensors, AdamWGraph.SecondMoment, rows);
        RequireResiduals(engine, state, world.Rank.Count);
        if (engine.Residuals.Parameters.Count > 0)
        {
            using var residuals = SafetensorsFile.Open(Path.Combine(PathOf(state.Step), ResidualsName));
            world.Together("checkpoint: digests of residuals", () => Check(residuals, ResidualsName, state, (world.Rank.Index, world.Rank.Count)));
            engine.Residuals.Load(residuals.Path, residuals.Tensors, TrainingNames.ResidualPrefix, ResidualRows(engine, world));
        }
    }

    /// <summary>What rounding has left is one rank's, and cannot be another's: as many ranks go on as have written it.</summary>
    private void RequireResiduals(TrainingEngine engine, RunState state, int ranks)
    {
        var kept = engine.Residuals.Parameters;
        int Written()
        {
            using var file = SafetensorsFile.Open(Path.Combine(PathOf(state.Step), ResidualsName));
            return kept.Count > 0 && file.Tensors.TryGetValue(TrainingNames.ResidualPrefix + kept[0].Name, out var tensor)
                ? (int)(tensor.Shape[0] / kept[0].Shape.Sizes[0]) : 0;
        }
        var has = state.Digests?.ContainsKey(ResidualsName) == true;
        if (has == kept.Count > 0 && (!has || Written() == ranks))
            return;
        throw new HaloException("resume", $"{PathOf(state.Step)}: what rounding has left of sent gradients (shard_gradients_feedback)",
            kept.Count > 0 ? $"that of {ranks} ranks" : "none", !has ? "none" : kept.Count > 0 ? $"that of {Written()} ranks" : "that of other settings",
            "Go on with as many ranks and with the settings that wrote it, or start a new run from the fine-tuned model.");
    }

    private CheckpointReader OpenWeights(RunState state)
    {
        var path = WeightsOf(PathOf(state.Step));
        using (var file = SafetensorsFile.Open(path))
            Check(file, WeightsName, state);
        return CheckpointReader.Open(path);
    }

    /// <summary>Throws where weights that a user names are those of a checkpoint, and not what was written there.</summary>
    /// <param name="weights">A file or folder of weights, of a checkpoint or not.</param>
    /// <exception cref="HaloException">They are damaged, or their digests are lost.</exception>
    public static void CheckGiven(string weights)
    {
        var folder = Path.TrimEndingDirectorySeparator(Path.GetFullPath(Directory.Exists(weights) ? weights : Path.GetDirectoryName(Path.GetFullPath(weights))!));
        if (OwnedFolder.KindOf(folder) != Kind || ReadState(folder) is not { } state)
            return;
        using var file = SafetensorsFile.Open(Directory.Exists(weights) ? WeightsOf(folder) : weights);
        if (state.Digests!.ContainsKey(Path.GetFileName(file.Path)))
            Check(file, Path.GetFileName(file.Path), state);
    }

    private static void Check(SafetensorsFile file, string name, RunState state, (int Number, int Of)? share = null) =>
        TensorDigests.Check(file, state.Digests![name], Advice, share);

    /// <summary>Deletes those that need not be kept: also what a run left that was killed between a save and this.</summary>
    public void Prune()
    {
        var all = All();
        var best = Best()?.Step;
        foreach (var old in all.SkipLast(keep).Where(s => s.Step != best))
            OwnedFolder.Remove(PathOf(old.Step));
    }

    private List<RunState> All() => !Directory.Exists(folder) ? []
        : [.. Directory.GetDirectories(folder, "step-*").Where(IsCheckpoint).Order(StringComparer.Ordinal).Select(ReadState).OfType<RunState>()];

    /// <summary>A checkpoint has its name when it is whole, so one without its marker has lost it: the next save of that step would be refused.</summary>
    private static bool IsCheckpoint(string checkpoint)
    {
        if (OwnedFolder.KindOf(checkpoint) is { } kind)
            return kind == Kind;
        if (Directory.Exists(checkpoint) && File.Exists(Path.Combine(checkpoint, StateName)))
        {
            throw new HaloException("resume", checkpoint, $"a checkpoint with its {OwnedFolder.MarkerName}", "one without it",
                "Restore the file, or remove this checkpoint's folder to go on from the one before it.");
        }
        return false;
    }

    /// <summary>Null where the checkpoint was deleted meanwhile.</summary>
    private static RunState? ReadState(string checkpoint)
    {
        var path = Path.Combine(checkpoint, StateName);
        FilePlace.RequireRegular(path);
        try
        {
            var state = JsonSerializer.Deserialize<RunState>(File.ReadAllText(path), JsonText.Strict) ?? throw new JsonException("null");
            if (NameOf(state.Step) != Path.GetFileName(checkpoint))
                throw new JsonException($"the state of step {state.Step}");
            return state.Digests is { } digests && digests.ContainsKey(WeightsName) && digests.ContainsKey(MomentsName) ? state
                : throw new JsonException("one without digests of weights and moments");
        }
        catch (IOException) when (!Directory.Exists(checkpoint))
        {
            return null;
        }
        catch (Exception e) when (e is JsonException or IOException)
        {
            throw new HaloException("resume", path, "the state of this checkpoint", e.Message.TrimEnd('.'),
                "Remove this checkpoint's folder to go on from the one before it.", e);
        }
    }
}
