using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Serialization;
using Xunit.Abstractions;

using static Halo.Tests.Runner.HaloConsole;

namespace Halo.Tests.Runner;

/// <summary>A disk that gets full: exit code 2 with the reason, what was there before still there, nothing half-written, and the run resumable.</summary>
public class FullDiskTests(ITestOutputHelper output)
{
    private static readonly string Weights = ExportFixture.File(TinyChat.Export, "model.safetensors");
    private static readonly string Batch = ExportFixture.File(TinyChat.Export, "expected.safetensors");

    /// <summary>Whether the disk is a mounted one or a limit on files.</summary>
    public static TheoryData<bool> Disks => [true, false];

    [Theory]
    [MemberData(nameof(Disks))]
    public void Rewrite_and_step_keep_the_old_file(bool isMounted)
    {
        using var disk = Disk(isMounted, 128, 128);
        if (disk is null)
            return;
        File.WriteAllText(disk["old.onnx"], "the graph of yesterday");
        File.WriteAllText(disk["old.safetensors"], "the gradients of yesterday");
        string[] rewrite = ["rewrite", TinyChat.Graph, "-o", disk["old.onnx"], "--scheme", "halo-1", "--format", "fp8"];
        string[] step = ["step", TinyChat.Graph, "--params", Weights, "--batch", Batch, "-o", disk["old.safetensors"]];
        var before = Files(disk.Path);
        Message(disk["old.onnx"], rewrite, disk.Run(rewrite));
        Message(disk["old.safetensors"], step, disk.Run(step));
        Assert.Equal(before, Files(disk.Path));
        disk.Grow();
        Assert.Equal(0, disk.Run(rewrite).ExitCode);
        Assert.Equal(0, disk.Run(step).ExitCode);
        Assert.Equal(2, Directory.GetFileSystemEntries(disk.Path).Length);
    }

    /// <summary>A graph and its external data are two files: neither is replaced unless both fit.</summary>
    [Theory]
    [InlineData(100_000, 1_000)]
    [InlineData(1_000, 400_000)]
    public void A_graph_with_external_data_is_replaced_as_a_pair(int weights, int comment)
    {
        using var disk = SmallDisk.Mount(300, output);
        if (disk is null)
            return;
        OnnxWriter.Write(Model(1_000, 10), disk["graph.onnx"], externalData: true);
        var before = Files(disk.Path);
        Assert.Equal(2, before.Count);
        Assert.Throws<HaloException>(() => OnnxWriter.Write(Model(weights, comment), disk["graph.onnx"], externalData: true));
        Assert.Equal(before, Files(disk.Path));

        static Model Model(int weights, int comment)
        {
            var model = new Model(new Graph("pair") { DocString = new string('x', comment) }, HaloOperators.Catalogue) { Opsets = { [""] = 21 } };
            var graph = model.Graph;
            var w = graph.AddInitializer("w", Tensor.Floats([weights], [.. Enumerable.Repeat((float)comment, weights)]));
            graph.AddOutput(GraphBuilder.AtEnd(graph).Op("y", "Relu", [w]));
            return model;
        }
    }

    /// <summary>The artifact takes 1.5 MB, a checkpoint 1.6 MB, 1.1 MB of it in one file: the disk has room for one checkpoint, the limit for none.</summary>
    [Theory]
    [MemberData(nameof(Disks))]
    public void A_checkpoint_that_does_not_fit_leaves_a_run_to_go_on_with(bool isMounted)
    {
        using var inputs = new TemporaryFolder();
        using var disk = Disk(isMounted, 3800, 800);
        if (disk is null)
            return;
        string[] train = ["train", .. TinyChat.Write(inputs), "--data", inputs["data.jsonl"], "-o", disk["run"],
            "--steps", "3", "--save-every", "1", "--keep-checkpoints", "3"];
        Message(disk["run/checkpoints/"], train, disk.Run(train));
        Assert.DoesNotContain(Files(disk.Path), f => f.Contains(".partial", StringComparison.Ordinal));
        Assert.Equal(isMounted ? ["step-00000001"] : [], Checkpoints());
        disk.Grow();
        var (exitCode, found, error) = disk.Run("train", "--resume", "-o", disk["run"]);
        Assert.True(exitCode == 0 && found.StartsWith("done: 3 steps", StringComparison.Ordinal), error);
        Assert.Equal(["step-00000001", "step-00000002", "step-00000003"], Checkpoints());

        using var whole = new TemporaryFolder(); // the interruption is not in the result
        Succeed([.. train.Select(a => a == disk["run"] ? whole["run"] : a)]);
        Assert.Equal(File.ReadAllBytes(whole["run/model/model.safetensors"]), File.ReadAllBytes(disk["run/model/model.safetensors"]));

        IEnumerable<string> Checkpoints() => !Directory.Exists(disk["run/checkpoints"]) ? []
            : Directory.GetDirectories(disk["run/checkpoints"]).Select(d => Path.GetFileName(d)!).Order();
    }

    [Theory]
    [MemberData(nameof(Disks))]
    public void Metrics_that_do_not_fit_stop_the_run_in_order(bool isMounted)
    {
        using var inputs = new TemporaryFolder();
        using var disk = Disk(isMounted, 24, 4);
        if (disk is null)
            return;
        Succeed(["prepare", .. TinyChat.Write(inputs), "-o", inputs["artifact"]]);
        string[] train = ["train", "--model", inputs["artifact"], "--data", inputs["data.jsonl"], "-o", disk["run"], "--steps", "60"];
        var message = Message(disk["run"], train, disk.Run(train));
        Assert.True(message.Contains("metrics.jsonl", StringComparison.Ordinal) || message.Contains("tfevents", StringComparison.Ordinal), message);
        disk.Grow();
        Assert.Equal(0, disk.Run("train", "--resume", "-o", disk["run"]).ExitCode);
        Assert.Equal(60, File.ReadAllLines(disk["run/metrics.jsonl"]).Length);
    }

    [Theory]
    [MemberData(nameof(Disks))]
    public void A_run_that_does_not_fit_at_all_is_not_there(bool isMounted)
    {
        using var inputs = new TemporaryFolder();
        using var disk = Disk(isMounted, 400, 100);
        if (disk is null)
            return;
        string[] options = [.. TinyChat.Write(inputs), "-o", disk["out"]];
        Message(disk["out"], options, disk.Run(["train", .. options, "--data", inputs["data.jsonl"]]));
        Message(disk["out"], options, disk.Run(["prepare", .. options]));
        Assert.Empty(Files(disk.Path));
    }

    private SmallDisk? Disk(bool isMounted, int diskKibibytes, int fileKibibytes) =>
        isMounted ? SmallDisk.Mount(diskKibibytes, output) : SmallDisk.Limit(fileKibibytes, output);
}
