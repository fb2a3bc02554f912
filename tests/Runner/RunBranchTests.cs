using System.Text.Json;
using static Halo.Tests.Runner.HaloConsole;

namespace Halo.Tests.Runner;

/// <summary>Runs that go on from a checkpoint of another one, with other settings.</summary>
public sealed class RunBranchTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly string[] _train;

    public RunBranchTests() => _train = ["train", .. TinyChat.Write(_folder), "--data", _folder["data.jsonl"], "-o", _folder["run"], "--save-every", "2"];

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_branch_keeps_weights_and_moments_and_says_where_it_comes_from()
    {
        Succeed([.. _train, "--steps", "4", "--schedule", "cosine"]);
        var before = Files(_folder["run"]);
        string[] resume = ["train", "--resume", _folder["run"]];

        // Nothing changed: the same bits from the middle on, so the moments are there.
        Succeed([.. resume, "--from-step", "2", "-o", _folder["same"]]);
        Assert.Equal(Updates("run"), Updates("same"));
        Assert.Equal(File.ReadAllBytes(_folder["run/model/model.safetensors"]), File.ReadAllBytes(_folder["same/model/model.safetensors"]));

        // Another rate: without --output beside the run.
        var error = Run([.. resume, "--from-step", "2", "--learning-rate", "1e-4"]).Error;
        Assert.Contains("goes on from step 2", error, StringComparison.Ordinal);
        Assert.Contains("learning_rate 2E-05 -> 0.0001", error, StringComparison.Ordinal);
        Assert.Equal(Updates("run")[..2], Updates("run-2")[..2]);
        Assert.All(Updates("run")[3..].Zip(Updates("run-2")[3..]), pair => Assert.NotEqual(pair.First, pair.Second));
        using var record = JsonDocument.Parse(File.ReadAllText(_folder["run-2/run.json"]));
        var branch = record.RootElement.GetProperty("branch");
        Assert.Equal((_folder["run"], 2), (branch.GetProperty("run").GetString(), branch.GetProperty("step").GetInt32()));
        Assert.Equal("0.0001", branch.GetProperty("changed").GetProperty("learning_rate").GetProperty("to").GetString());
        Assert.Equal(before, Files(_folder["run"]));

        // It stands alone, and goes on as it began.
        Directory.Move(_folder["run"], _folder["gone"]);
        Succeed("train", "--resume", "-o", _folder["run-2"]);
        Succeed("eval", "--model", _folder["run-2"], "--data", _folder["data.jsonl"]);
    }

    [Fact]
    public void What_a_branch_cannot_change_is_refused()
    {
        Succeed([.. _train, "--steps", "2"]);
        string[] resume = ["train", "--resume", _folder["run"]];
        Assert.DoesNotContain("another option", Refused(_folder, "--scheme", [.. resume, "--scheme", "halo-1"]), StringComparison.Ordinal);
        Refused(_folder, "--data", [.. resume, "--data", _folder["data.jsonl"]]);
        Refused(_folder, "a checkpoint of step 7", [.. resume, "--from-step", "7"]);
        Refused(_folder, "another folder than the run's", [.. resume, "--seed", "1", "-o", _folder["run"]]);
        Refused(_folder, "the 2 updates that are done", [.. resume, "--steps", "1"]);
        Refused(_folder, "--from-step", [.. _train, "--from-step", "1"]);
        Assert.Contains("done: 2 steps", Succeed(resume), StringComparison.Ordinal);
    }

    [Fact]
    public void A_run_that_diverges_says_how_it_can_go_on()
    {
        string[] train = [.. _train[..^1], "1", "--steps", "9", "--learning-rate", "1e30"];
        var (exitCode, _, error) = Run(train);
        Assert.Equal(1, exitCode);
        Assert.Contains($"'halo train --resume {_folder["run"]} --learning-rate X --output NEW' goes on from step", error, StringComparison.Ordinal);
    }

    private List<string> Updates(string run) =>
        [.. File.ReadLines(_folder[run + "/metrics.jsonl"]).Select(l => JsonDocument.Parse(l).RootElement)
            .Where(r => r.GetProperty("kind").GetString() == "train")
            .Select(r => $"{r.GetProperty("loss")} {r.GetProperty("gradient_norm")}")];
}
