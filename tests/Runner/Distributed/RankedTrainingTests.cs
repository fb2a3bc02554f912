using System.Diagnostics;
using System.Globalization;
using Halo.Models.Bundled;
using Halo.Models.Llama;
using Halo.Models.Weights;
using Halo.Passes.Sharding;
using Halo.Runner.Cli;
using Halo.Runner.Distributed;
using Halo.Runner.Plans;
using Halo.Runner.Runs;
using Halo.Runner.Sources;
using Halo.Runner.Training;
using Halo.Tests.CustomOps;
using Halo.Tests.Numerics;

namespace Halo.Tests.Runner.Distributed;

/// <summary>Runs that several ranks share against the run of one.</summary>
public sealed class RankedTrainingTests(RankedTrainingTests.RunOfOne one) : IClassFixture<RankedTrainingTests.RunOfOne>
{
    /// <summary>Sums over ranks are taken in another order than sums over micro-batches.</summary>
    private const double OtherOrder = 1e-5;

    /// <summary>Models are written in bfloat16, where a number in 256 may be rounded the other way.</summary>
    private const double InBFloat16 = 1e-3;

    private readonly RankThreads _runs = one.Runs;

    /// <summary>Three updates by one rank, with validation.</summary>
    public sealed class RunOfOne : IDisposable
    {
        public RunOfOne() => Runs.Train(Runs.Config("one", 3, ("valid", Runs.Valid)), 1);

        public RankThreads Runs { get; } = new();

        public void Dispose() => Runs.Dispose();
    }

    [Theory]
    [InlineData(ShardMode.None, 2, 0)]
    [InlineData(ShardMode.State, 3, 0)]
    [InlineData(ShardMode.Full, 2, 0)]
    [InlineData(ShardMode.Full, 3, 0)] // four micro-batches: one rank has two, and the others run another that does not count
    [InlineData(ShardMode.Hybrid, 4, 2)]
    public void Ranks_have_the_losses_of_one(ShardMode mode, int ranks, int nodeRanks)
    {
        var name = $"{mode}{ranks}";
        _runs.Train(_runs.Config(name, 3, ("valid", _runs.Valid)) with { Shard = mode }, ranks, nodeRanks);
        Same(_runs.Numbers("one"), _runs.Numbers(name), OtherOrder);
        using var expected = CheckpointReader.Open(Path.Combine(_runs["one"], "model"));
        using var found = CheckpointReader.Open(Path.Combine(_runs[name], "model"));
        Assert.Equal(expected.Tensors.Keys, found.Tensors.Keys);
        foreach (var (tensor, values) in expected.Tensors)
            Assert.True(RelativeError.Of(found.Tensors[tensor].ReadFloats(), values.ReadFloats()) < InBFloat16, tensor);
    }

    /// <summary>Head and embedding are one table, whose gradients are summed apart. Four micro-batches: by three ranks one does not count.</summary>
    [Fact]
    public void Ranks_of_a_tied_model_have_the_losses_of_one()
    {
        Directory.CreateDirectory(_runs["tied-model"]);
        foreach (var file in new[] { "tokenizer.json", "tokenizer_config.json", "generation_config.json" })
            File.Copy(Path.Combine(LlamaTiny.Folder, file), Path.Combine(_runs["tied-model"], file));
        File.WriteAllText(Path.Combine(_runs["tied-model"], "config.json"), File.ReadAllText(Path.Combine(LlamaTiny.Folder, "config.json"))
            .Replace("\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true", StringComparison.Ordinal));
        using (var weights = CheckpointReader.Open(LlamaTiny.Folder))
        {
            SafetensorsWriter.Write(Path.Combine(_runs["tied-model"], "model.safetensors"), [.. weights.Tensors.Values.Where(t => t.Name != LlamaParameters.Head)
                .Select(t => new SafetensorsSource(t.Name, t.DType, t.Shape, t.Bytes().ToArray()))]);
        }
        // A small step: of a table whose head was another one, most gradients are next to nothing, and AdamW takes their signs.
        TrainConfig Tied(string name) => _runs.Config(name, 2, ("model", _runs["tied-model"]), ("valid", _runs.Valid), ("learning_rate", "1e-4"));
        _runs.Train(Tied("tied-one"), 1);
        foreach (var (mode, lookups, ranks, nodeRanks) in new[] { (ShardMode.Full, LookupExchange.Rows, 2, 0), (ShardMode.Full, LookupExchange.Table, 2, 0),
            (ShardMode.State, LookupExchange.Rows, 3, 0), (ShardMode.Hybrid, LookupExchange.Rows, 4, 2) })
        {
            var config = Tied($"tied-{mode}-{lookups}-{ranks}") with { Shard = mode, ShardLookups = lookups };
            _runs.Train(config, ranks, nodeRanks);
            Same(RankThreads.LossesOf(_runs["tied-one"]), RankThreads.LossesOf(config.Output!), OtherOrder);
        }
        // Norms too are the same either way; from one rank's they are 1e-5 apart, as float32 sums of the squares of so large a table by parts are.
        Same(_runs.Numbers("tied-Full-Table-2"), _runs.Numbers("tied-Full-Rows-2"), OtherOrder);
    }

    /// <summary>What the untied bundled model sends for its lookups is what was planned, either way, and the same losses come of it.</summary>
    [Theory]
    [InlineData(LookupExchange.Rows)]
    [InlineData(LookupExchange.Table)]
    public void Lookups_send_what_was_planned(LookupExchange lookups)
    {
        var config = _runs.Config($"lookups-{lookups}", 1) with { ShardLookups = lookups };
        var training = MemoryLevers.Apply(config, GraphRewriter.Rewrite(TrainingGraphSource.Open(config).Training(), RewritePasses.Of(config)).Model);
        var plan = RankPlan.Of(config, training, ranks: 3, nodes: 1);
        Assert.Equal(lookups == LookupExchange.Rows ? ["forward", "backward"] : [], plan.RowsIn);
        var planned = plan.Traffic;
        RankThreads.Each(3, 0, new ShardPlan(ShardMode.Full, 3, 0, 3) { Lookups = lookups }, world =>
        {
            RankedRun.Train(world, () => (config, RunFolder.Create(config.Output!, config.ToYaml())), _ => config);
            if (world.IsFirst)
            {
                Assert.Equal(planned.Parts, world.Communicator.Counters().Select(c => new TrafficPart(c.Collective, c.Group, c.Type, c.Count, c.Bytes))
                    .OrderBy(p => (p.Collective, p.Group, p.Type)));
            }
        });
    }

    [Theory]
    [InlineData("halo-0", "fp8")]
    [InlineData("halo-2", "int8")]
    public void Codes_are_gathered_and_what_is_sent_is_what_was_planned(string scheme, string format)
    {
        (string, string)[] rewrite = [("scheme", scheme), ("format", format), ("recompute", "weights")];
        var name = $"codes-{scheme}";
        _runs.Train(_runs.Config(name + "-one", 1, rewrite), 1);
        var config = _runs.Config(name, 1, rewrite);
        var training = MemoryLevers.Apply(config, GraphRewriter.Rewrite(TrainingGraphSource.Open(config).Training(), RewritePasses.Of(config)).Model);
        var planned = RankPlan.Of(config, training, ranks: 2, nodes: 1).Traffic;
        RankThreads.Each(2, 0, ShardMode.Full, world =>
        {
            RankedRun.Train(world, () => (config, RunFolder.Create(config.Output!, config.ToYaml())), _ => config);
            if (world.IsFirst)
            {
                Assert.Equal(planned.Parts, world.Communicator.Counters().Select(c => new TrafficPart(c.Collective, c.Group, c.Type, c.Count, c.Bytes))
                    .OrderBy(p => (p.Collective, p.Group, p.Type)));
            }
        });
        Same(_runs.Numbers(name + "-one"), _runs.Numbers(name), OtherOrder); // the same codes: another one shows in the third digit
        var gathered = planned.Parts.Where(p => p.Collective == "AllGatherStart").ToDictionary(p => p.Type, p => p.Bytes);
        var linear = training.Graph.Inputs.Where(i => i.Name.Contains("proj", StringComparison.Ordinal)).Sum(i => i.Shape!.ElementCount!.Value);
        // Two micro-batches, forward and backward, half of the rows to one other: a byte for each weight.
        Assert.Equal(2 * linear, gathered[format == "fp8" ? "float8e4m3fn" : "int8"]);
    }

    /// <summary>A rotation of a rank's rows knows their largest magnitude alone: Quantize takes that of all ranks, or codes would be others.</summary>
    [Fact]
    public void Maxima_that_rotations_give_are_those_of_all_ranks()
    {
        (string, string) Passes(string end) => ("pipeline", "rotate-operands{scheme=halo-2},quantize-operands{format=int8},fuse-casts" + end);
        _runs.Train(_runs.Config("maxima-taken-apart", 1, Passes("")), 1);
        _runs.Train(_runs.Config("maxima-one", 1, Passes(",fuse-producers")), 1);
        Assert.Equal(_runs.Numbers("maxima-taken-apart"), _runs.Numbers("maxima-one"));
        _runs.Train(_runs.Config("maxima", 1, Passes(",fuse-producers")), 2);
        Same(_runs.Numbers("maxima-one"), _runs.Numbers("maxima"), OtherOrder);
    }

    /// <summary>Rounded gradients move a loss by what rounding 8 bits of 64 elements does: below a thousandth after two updates.</summary>
    [Fact]
    public void Gradients_may_be_sent_in_8_bits()
    {
        var config = _runs.Config("sent", 3, ("valid", _runs.Valid), ("shard_gradients", "int8"));
        RankThreads.Each(2, 0, new ShardPlan(ShardMode.Full, 2, 0, 2) { Gradients = SentGradients.Int8 },
            world => RankedRun.Train(world, () => (config, RunFolder.Create(config.Output!, config.ToYaml())), _ => config));
        var (expected, found) = (_runs.Numbers("one"), _runs.Numbers("sent"));
        Same(expected, found, 0.02);
        Assert.NotEqual(expected[2], found[2]); // a gradient norm
    }

    /// <summary>What rounding leaves goes into the next update: the losses are nearer to those of whole gradients, and a run that is resumed has them to the bit.</summary>
    [Fact]
    public void What_rounding_leaves_of_gradients_is_kept_and_resumed()
    {
        var config = _runs.Config("feedback", 3, ("save_every", "2"), ("shard_gradients", "int8"), ("shard_gradients_feedback", "true"));
        var plan = new ShardPlan(ShardMode.Full, 2, 0, 2) { Gradients = SentGradients.Int8, Feedback = true };
        RankThreads.Each(2, 0, plan, world => RankedRun.Train(world, () => (config, RunFolder.Create(config.Output!, config.ToYaml())), _ => config));
        var whole = _runs.Numbers("feedback");
        using (var run = RunFolder.Resume(_runs["feedback"]))
        {
            Directory.Delete(Path.Combine(run.Checkpoints, "step-00000003"), recursive: true);
            run.Record = run.Record with { NewestCheckpoint = 2 };
        }
        void Resume(ShardPlan with, int ranks) => RankThreads.Each(ranks, 0, with,
            world => RankedRun.Train(world, () => (RunFolder.Open(config.Output!).ReadConfig(), RunFolder.Resume(config.Output!)), run => run.ReadConfig()));
        var problem = Assert.Throws<AggregateException>(() => Resume(plan with { Ranks = 3, NodeRanks = 3 }, 3));
        Assert.Contains("expected that of 3 ranks, found that of 2 ranks", problem.InnerExceptions[0].Message, StringComparison.Ordinal);
        problem = Assert.Throws<AggregateException>(() => Resume(plan with { Feedback = false }, 2));
        Assert.Contains("expected none, found that of other settings", problem.InnerExceptions[0].Message, StringComparison.Ordinal);
        Resume(plan, 2);
        Assert.Equal(whole, _runs.Numbers("feedback"));
    }

    [Theory]
    [InlineData(ShardMode.Full, 2, true)]
    [InlineData(ShardMode.State, 3, false)]
    [InlineData(ShardMode.None, 1, false)]
    public void A_run_goes_on_with_other_ranks_and_another_split(ShardMode mode, int ranks, bool exactly)
    {
        var name = $"resumed-{mode}";
        var config = _runs.Config(name, 3, ("save_every", "2"));
        _runs.Train(config, 2);
        var whole = _runs.Numbers(name);
        using (var run = RunFolder.Resume(_runs[name]))
        {
            Directory.Delete(Path.Combine(run.Checkpoints, "step-00000003"), recursive: true);
            run.Record = run.Record with { NewestCheckpoint = 2 };
        }
        _runs.Train(config with { Shard = mode }, ranks, resume: true);
        if (exactly)
            Assert.Equal(whole, _runs.Numbers(name));
        else
            Same(whole, _runs.Numbers(name), OtherOrder);
    }

    /// <summary>Base and adapter lie on every rank; what is dropped does not depend on the rank that runs a micro-batch.</summary>
    [Fact]
    public void Ranks_train_one_adapter()
    {
        (string, string)[] adapter = [("adapter_kind", "lora"), ("adapter_rank", "4"), ("adapter_dropout", "0.1"), ("scheme", "halo-0"), ("format", "int8"),
            ("valid", _runs.Valid), ("save_every", "2"), ("shard", "none")];
        _runs.Train(_runs.Config("adapter-one", 3, adapter), 1);
        _runs.Train(_runs.Config("adapter", 3, adapter), 3);
        Same(_runs.Numbers("adapter-one"), _runs.Numbers("adapter"), 0.05); // codes of activations tip over
        using var one = SafetensorsFile.Open(Path.Combine(_runs["adapter-one"], "adapter", "adapter_model.safetensors"));
        using var three = SafetensorsFile.Open(Path.Combine(_runs["adapter"], "adapter", "adapter_model.safetensors"));
        Assert.Equal(one.Tensors.Keys, three.Tensors.Keys);
        using (var run = RunFolder.Resume(_runs["adapter"]))
        {
            Directory.Delete(Path.Combine(run.Checkpoints, "step-00000003"), recursive: true);
            run.Record = run.Record with { NewestCheckpoint = 2 };
        }
        var whole = _runs.Numbers("adapter");
        // A base whose codes are split is the same when it is gathered, to the bit.
        _runs.Train(_runs.Config("adapter-split", 3, [.. adapter.Where(a => a.Item1 != "shard"), ("shard", "full")]), 3);
        Assert.Equal(whole, _runs.Numbers("adapter-split"));
        _runs.Train(_runs.Config("adapter", 3, adapter), 3, resume: true);
        Assert.Equal(whole, _runs.Numbers("adapter"));
    }

    [Fact]
    public void A_rank_with_other_data_ends_all_before_the_first_update()
    {
        var other = _runs["other.jsonl"];
        File.WriteAllLines(other, File.ReadLines(_runs.Data).Skip(1));
        var config = _runs.Config("data", 1);
        var problems = Assert.Throws<AggregateException>(() => RankThreads.Each(2, 0, ShardMode.Full, world => RankedRun.Train(world,
            () => (config, RunFolder.Create(config.Output!, config.ToYaml())), _ => config with { Data = other })));
        Assert.All(problems.InnerExceptions, p => Assert.Contains("rank 1, training data: expected what rank 0 has", p.Message, StringComparison.Ordinal));
        Assert.Equal([typeof(HaloException), typeof(RankFailedException)], problems.InnerExceptions.Select(p => p.GetType())); // said once
        Assert.False(Directory.Exists(_runs["data"]));
    }

    [Fact]
    public void A_rank_that_fails_ends_all_with_its_message()
    {
        var problems = Assert.Throws<AggregateException>(() => RankThreads.Each(3, 0, ShardMode.None, world => world.Together("work", () =>
        {
            if (world.Rank.Index == 1)
                throw new IOException("no space is left");
        })));
        Assert.Equal(["train: rank 0, work: rank 1 failed: no space is left", "rank 1, work: no space is left",
            "train: rank 2, work: rank 1 failed: no space is left"], problems.InnerExceptions.Select(p => p.Message));
        Assert.Equal([typeof(RankFailedException), typeof(OnRankException), typeof(RankFailedException)], problems.InnerExceptions.Select(p => p.GetType()));
    }

    [WithMpi]
    [InlineData(2)]
    public void Processes_that_mpirun_starts_have_the_losses_of_one(int ranks)
    {
        var halo = Path.Combine(AppContext.BaseDirectory, "halo.dll");
        var (code, output) = Mpirun.Run(ranks, "dotnet", [halo, "train", "--model", Halo.Models.Bundled.LlamaTiny.Folder, "--data", _runs.Data,
            "--valid", _runs.Valid, "-o", _runs["mpi"], "--batch-size", "8", "--micro-batch-size", "2", "--sequence-length", "64", "--steps", "3",
            "--learning-rate", "1e-3", "--clip-norm", "1", "--threads", "1", "--shard", "full"]);
        Assert.True(code == 0, output);
        Assert.Equal(2, output.Split("done: 3 steps").Length); // said once
        Same(_runs.Numbers("one"), _runs.Numbers("mpi"), OtherOrder);
    }

    [Theory]
    [InlineData(ShardMode.Full, "")]
    [InlineData(ShardMode.None, "halo-0")]
    public void Ranks_update_in_the_backward_part(ShardMode mode, string scheme)
    {
        (string, string)[] settings = [("micro_batch_size", "4"), ("shard", $"{mode}".ToLowerInvariant()), ("valid", _runs.Valid),
            .. scheme.Length == 0 ? ((string, string)[])[] : [("scheme", scheme), ("format", "fp8")]];
        var name = $"behind-{mode}";
        _runs.Train(_runs.Config(name, 3, settings) with { ClipNorm = null }, 2);
        _runs.Train(_runs.Config($"{name}-updates", 3, settings) with { ClipNorm = null, OptimizerInBackward = true }, 2);
        Assert.Equal(_runs.Numbers(name), _runs.Numbers($"{name}-updates"));
    }

    /// <summary>It ends before the run has begun on all ranks, while mpirun's SIGTERM ends what does not hold it; the other says why.</summary>
    [WithMpi]
    [InlineData(2)]
    public void A_rank_that_is_killed_at_the_start_is_named(int ranks)
    {
        var killed = "";
        var (code, output) = Mpirun.Run(ranks, mpirun =>
        {
            var process = Mpirun.ProcessOf(mpirun, 1);
            killed = $"{process}";
            using var rank = Process.GetProcessById(process);
            rank.Kill();
        }, "dotnet", [Path.Combine(AppContext.BaseDirectory, "halo.dll"), "train", "--model", Halo.Models.Bundled.LlamaTiny.Folder, "--data",
            _runs.Data, "-o", _runs["killed"], "--batch-size", "8", "--micro-batch-size", "2", "--sequence-length", "64", "--steps", "3"]);
        Assert.NotEqual(0, code);
        Assert.Matches($@"error: train: rank 0: expected all ranks in .*, found rank 1 \(process {killed}\) ended", output);
    }

    /// <summary>In front of MPI_Init_thread, which knows no limit, and in the middle of the run; one message says which, and nothing is left of it.</summary>
    [WithMpi]
    [InlineData(false)]
    [InlineData(true)]
    public void A_rank_that_is_stopped_ends_all(bool isRunning)
    {
        var (stopped, name) = (0, isRunning ? "stopped-later" : "stopped-first");
        var (code, output) = Mpirun.Run(3, mpirun =>
        {
            var metrics = Path.Combine(_runs[name], "metrics.jsonl");
            while (isRunning && !mpirun.HasExited && (!File.Exists(metrics) || File.ReadLines(metrics).Count() < 2))
                Thread.Sleep(50);
            stopped = Mpirun.ProcessOf(mpirun, 1);
            using var signal = Process.Start("kill", ["-STOP", $"{stopped}"]);
            signal.WaitForExit();
        }, waits: false, "dotnet", [Path.Combine(AppContext.BaseDirectory, "halo.dll"), "train", "--model", Halo.Models.Bundled.LlamaTiny.Folder, "--data",
            _runs.Data, "-o", _runs[name], "--batch-size", "6", "--micro-batch-size", "2", "--sequence-length", "64", "--steps", "2000",
            "--threads", "1", "--rank-timeout", "10"]);
        Assert.NotEqual(0, code);
        Assert.Matches($@"error: .*expected all ranks in .* within 10 s, found nothing from rank 1 \(process {stopped}, which is stopped\)", output);
        // By one rank, or by two where one was not answered in time, as on a busy machine.
        Assert.InRange(output.Split('\n').Count(line => line.StartsWith("error: ", StringComparison.Ordinal)), 1, 2);
        var isLeft = true;
        for (var tries = 0; tries < 100 && isLeft; tries++, Thread.Sleep(50)) // mpirun has killed it, and ends without a wait for that
            isLeft = File.Exists($"/proc/{stopped}/stat") && File.ReadAllText($"/proc/{stopped}/stat").Split(") ")[^1][0] != 'Z';
        Assert.False(isLeft, $"process {stopped} is left");
    }

    private static void Same(IReadOnlyList<double> one, IReadOnlyList<double> many, double tolerance)
    {
        Assert.Equal(one.Count, many.Count);
        for (var n = 0; n < one.Count; n++)
            Assert.Equal(1, many[n] / one[n], tolerance);
    }
}
