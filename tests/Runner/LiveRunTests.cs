using System.Text.Json.Nodes;
using Halo.Io;
using Halo.Models.Weights;
using Halo.Runner.Runs;
using static Halo.Tests.Runner.HaloConsole;

namespace Halo.Tests.Runner;

/// <summary>Runs beside each other, and runs whose files are not those that they were started with.</summary>
public sealed class LiveRunTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly string[] _train;

    public LiveRunTests() =>
        _train = ["train", .. TinyChat.Write(_folder), "--data", _folder["data.jsonl"], "-o", _folder["run"], "--steps", "2", "--save-every", "1"];

    public void Dispose() => _folder.Dispose();

    private string[] Resume => ["train", "--resume", "-o", _folder["run"]];

    private string[] Eval => ["eval", "--model", _folder["run"], "--data", _folder["data.jsonl"]];

    private string[] Export => ["export", _folder["run"], "-o", _folder["exported"], "--to", "hf"];

    private string[] Generate => ["generate", _folder["run"], "--prompt", "1", "--max-tokens", "2"];

    [Fact]
    public void One_process_trains_a_run_and_others_read_it()
    {
        Succeed(_train);
        using (RunFolder.Resume(_folder["run"]))
        {
            // What the living trainer writes at the moment, and what a dead one left: readers leave both.
            string[] written = [_folder[$"run/.x.{Owner}.partial"], _folder[$"run/checkpoints/.x.{Owner}.partial"], _folder["run/.x.2147483647-1.partial"]];
            foreach (var folder in written)
                Directory.CreateDirectory(folder);
            Assert.Contains($"process {Environment.ProcessId} on {Environment.MachineName}",
                Refused(_folder, "a run that nobody trains", Resume), StringComparison.Ordinal);
            foreach (var verb in (string[][])[Eval, Export, Generate])
                Succeed(verb);
            Assert.All(written, folder => Assert.True(Directory.Exists(folder), folder));
        }
        Succeed(Resume);
        Assert.False(Directory.Exists(_folder["run/.x.2147483647-1.partial"]));
        Assert.True(Directory.Exists(_folder[$"run/.x.{Owner}.partial"]));
    }

    [Fact]
    public void Two_runs_are_not_begun_in_one_empty_folder()
    {
        Directory.CreateDirectory(_folder["run"]);
        using (RunLock.Take(_folder["run"], "run"))
            Refused(_folder, "a run that nobody trains", _train);
        Succeed(_train);
    }

    [Fact]
    public void A_run_whose_artifact_is_being_prepared_is_not_read_and_not_touched()
    {
        Succeed(_train);
        Directory.Move(_folder["run/artifact"], _folder[$"run/.artifact.{Owner}.partial"]);
        foreach (var verb in (string[][])[Eval, Export, Generate])
            Refused(_folder, "a run whose artifact is written", verb);
    }

    [Theory]
    [InlineData("model.safetensors", true)]
    [InlineData("optimizer.safetensors", false)]
    public void One_flipped_bit_of_a_checkpoint_is_noticed(string file, bool isRead)
    {
        Succeed(_train);
        var path = _folder[$"run/checkpoints/step-00000002/{file}"];
        var bytes = File.ReadAllBytes(path);
        string name;
        using (var tensors = SafetensorsFile.Open(path))
            name = tensors.Tensors.Keys.Last();
        bytes[^2] ^= 1;
        File.WriteAllBytes(path, bytes);
        Assert.Contains(name, Refused(_folder, "the bytes that were written", Resume), StringComparison.Ordinal);
        if (isRead)
        {
            foreach (var verb in (string[][])[Eval, Export, Generate])
                Refused(_folder, "the bytes that were written", verb);
        }
        File.Copy(path.Replace("step-00000002", "step-00000001", StringComparison.Ordinal), path, overwrite: true); // whole, of another step
        Refused(_folder, "the bytes that were written", Resume);
    }

    [Fact]
    public void Settings_artifact_and_data_are_those_that_the_run_began_with()
    {
        Succeed([.. _train, "--valid", _folder["data.jsonl"]]);
        var config = _folder["run/config.yaml"];
        var text = File.ReadAllText(config);
        File.WriteAllText(config, text.Replace("seed: 0", "seed: 1", StringComparison.Ordinal));
        foreach (var verb in (string[][])[Resume, Eval, Export])
            Refused(_folder, "the settings that the run began with", verb);
        File.WriteAllText(config, text);

        // Another whole artifact, prepared from the same model.
        Succeed("prepare", "--model", _folder["training.onnx"], "--weights", _folder["model"], "-o", _folder["other"], "--scheme", "halo-1", "--format", "fp8");
        Directory.Move(_folder["run/artifact"], _folder["kept"]);
        Directory.Move(_folder["other"], _folder["run/artifact"]);
        foreach (var verb in (string[][])[Resume, Eval, Export])
            Refused(_folder, "the artifact that the run began with", verb);
        Directory.Delete(_folder["run/artifact"], recursive: true);
        Directory.Move(_folder["kept"], _folder["run/artifact"]);

        File.AppendAllText(_folder["data.jsonl"], TinyChat.Rows);
        Refused(_folder, "data that the run began with", Resume);
    }

    [Fact]
    public void Lost_checkpoints_and_metrics_are_said()
    {
        Succeed(_train);
        File.Delete(_folder["run/metrics.jsonl"]);
        Assert.Contains("rows of 2 of 2 updates are missing", Run(Resume).Error, StringComparison.Ordinal);
        Directory.Delete(_folder["run/checkpoints/step-00000002"], recursive: true);
        Assert.Contains("that of step 1", Run(Eval).Error, StringComparison.Ordinal);
        Assert.Contains("taking that of step 1", Run(Resume).Error, StringComparison.Ordinal);
        Directory.Delete(_folder["run/checkpoints"], recursive: true);
        foreach (var verb in (string[][])[Resume, Eval, Export, Generate])
            Refused(_folder, "that of step 2 was saved last", verb);
    }

    /// <summary>What holds a run to its beginning is never taken as there being nothing to hold it to.</summary>
    [Fact]
    public void Lost_digests_are_said_and_nothing_is_taken_unseen()
    {
        Succeed([.. _train, "--valid", _folder["data.jsonl"]]);
        foreach (var lost in (string[])["artifact_sha256", "data_sha256", "config_sha256", "valid_sha256"])
            With("run/run.json", json => Assert.True(json.AsObject().Remove(lost)), lost is "valid_sha256" ? [Resume] : [Resume, Eval, Export, Generate]);
        var record = _folder["run/run.json"];
        File.Move(record, _folder["kept"]);
        foreach (var verb in (string[][])[Resume, Eval, Export, Generate, ["train", "--resume", _folder["run"], "--learning-rate", "1e-5"]])
            Assert.Contains("found no such file. Restore the file, or", Refused(_folder, record, verb), StringComparison.Ordinal);
        File.Move(_folder["kept"], record);

        const string State = "run/checkpoints/step-00000002/state.json";
        With(State, json => json.AsObject().Remove("digests"), [Resume, Eval, Export, Generate]);
        With(State, json => json["digests"] = null, [Resume, Eval]);
        With(State, json => json["digests"]!.AsObject().Remove("model.safetensors"), [Resume, Eval]);
        With(State, json => json["digests"]!["model.safetensors"]!.AsObject().Remove("model.norm.weight"), [Resume, Eval]);

        void With(string file, Action<JsonNode> change, string[][] verbs)
        {
            var text = File.ReadAllText(_folder[file]);
            var json = JsonNode.Parse(text)!;
            change(json);
            File.WriteAllText(_folder[file], json.ToJsonString());
            foreach (var verb in verbs)
                Refused(_folder, _folder[file] is var path && verb.Length > 0 ? Path.GetDirectoryName(path)! : "", verb);
            File.WriteAllText(_folder[file], text);
        }
    }

    /// <summary>A folder has its name when it is whole: one that lost its marker is no folder that is still to be written.</summary>
    [Fact]
    public void Lost_markers_are_said_before_anything_is_trained()
    {
        Succeed(_train);
        var marker = _folder["run/checkpoints/step-00000002/halo.json"];
        File.Move(marker, _folder["kept"]);
        foreach (var verb in (string[][])[Resume, Eval, Export, Generate])
            Refused(_folder, "step-00000002: expected a checkpoint with its halo.json", verb);
        File.Move(_folder["kept"], marker);
        marker = _folder["run/artifact/halo.json"];
        File.Move(marker, _folder["kept"]);
        foreach (var verb in (string[][])[Resume, Eval, Export, Generate])
            Refused(_folder, "artifact: expected an artifact with its halo.json", verb);
        File.Move(_folder["kept"], marker);
        Succeed(Resume);
    }

    /// <summary>A checkpoint's weights have digests, whoever reads them by their own path; so have a run's starting weights, before it trains.</summary>
    [Fact]
    public void Weights_that_are_named_are_held_to_their_digests()
    {
        Succeed(_train);
        var weights = _folder["run/checkpoints/step-00000001/model.safetensors"];
        string[][] verbs =
        [
            ["train", "--model", _folder["training.onnx"], "--weights", Path.GetDirectoryName(weights)!, "--tokenizer", _folder["model"],
                "--data", _folder["data.jsonl"], "-o", _folder["next"], "--steps", "1"],
            ["eval", "--model", _folder["run/artifact"], "--weights", weights, "--data", _folder["data.jsonl"]],
            ["step", _folder["training.onnx"], "--params", weights, "--batch", ExportFixture.File(TinyChat.Export, "expected.safetensors"),
                "-o", _folder["out.safetensors"]],
        ];
        Flip(weights);
        foreach (var verb in verbs)
            Refused(_folder, "the bytes that were written", verb);
        Flip(weights);
        Flip(_folder["run/artifact/checkpoint/model.safetensors"]);
        Refused(_folder, "the weights that the artifact was prepared with", Resume);

        static void Flip(string path)
        {
            var bytes = File.ReadAllBytes(path);
            bytes[bytes.Length * 2 / 3] ^= 1;
            File.WriteAllBytes(path, bytes);
        }
    }

    private static string Owner => Path.GetFileName(PartialFiles.For("/x"))[".x.".Length..^".partial".Length];
}
