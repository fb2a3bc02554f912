using System.Globalization;
using System.Text.Json;
using Halo.Analysis;
using Halo.CustomOps;
using Halo.Models.Adapters;
using Halo.Models.Weights;
using Halo.Runner.Cli;
using Halo.Runner.Training;
using Halo.Serialization;
using Halo.Tests.Numerics;
using static Halo.Tests.Runner.HaloConsole;

namespace Halo.Tests.Runner;

/// <summary>Adapters trained over a frozen base, which no file of a run holds again, and used from there.</summary>
public sealed class AdapterTrainingTests : IDisposable
{
    private static readonly string[] Sizes = ["--micro-batch-size", "3", "--sequence-length", "24"];

    private readonly TemporaryFolder _folder = new();

    public AdapterTrainingTests() => TinyChat.Write(_folder);

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_run_that_is_gone_on_with_is_one_that_was_not_stopped()
    {
        string[] options = ["--adapter-kind", "lora", "--adapter-rank", "4", "--adapter-dropout", "0.1", "--scheme", "halo-2", "--format", "int8",
            "--batch-size", "6", "--steps", "6", "--save-every", "3"];
        var before = Files(_folder["model"]);
        Succeed(Train("whole", options));
        Succeed(Train("stopped", options));
        Directory.Delete(_folder["stopped/checkpoints/step-00000006"], recursive: true);
        File.Delete(_folder["stopped/adapter/adapter_model.safetensors"]);
        Succeed("train", "--resume", "-o", _folder["stopped"]);
        Assert.Equal(Losses("whole"), Losses("stopped"));
        Assert.True(Losses("whole")[^1] < Losses("whole")[0]);
        Assert.Equal(File.ReadAllBytes(_folder["whole/adapter/adapter_model.safetensors"]),
            File.ReadAllBytes(_folder["stopped/adapter/adapter_model.safetensors"]));
        Assert.Equal(before, Files(_folder["model"]));

        // Codes that are held, and made anew from the weights each time.
        Assert.True(File.Exists(_folder["whole/artifact/base_model.onnx"]));
        var graph = OnnxReader.Read(_folder["whole/artifact/training_model.onnx"], HaloOperators.Catalogue).Graph;
        Assert.DoesNotContain(graph.Inputs, i => i.Name.Contains("proj.weight", StringComparison.Ordinal) && !AdapterNames.IsTrained(i.Name));
        Assert.Equal(28, graph.Inputs.Count(Halo.Passes.Training.FrozenBase.IsHeld)); // codes and scale of 14 weights
        string[] eval = ["eval", "--data", _folder["data.jsonl"], "--model"];
        Assert.Equal(Succeed([.. eval, _folder["whole"]]),
            Succeed([.. eval, _folder["model"], "--adapter", _folder["whole/adapter"], "--scheme", "halo-2", "--format", "int8", .. Sizes]));

        using var checkpoint = SafetensorsFile.Open(_folder["whole/checkpoints/step-00000006/model.safetensors"]);
        using var adapter = SafetensorsFile.Open(_folder["whole/adapter/adapter_model.safetensors"]);
        Assert.All(checkpoint.Tensors.Keys, n => Assert.True(AdapterNames.IsFactor(n), n));
        Assert.Equal(28, checkpoint.Tensors.Count);
        using var weights = CheckpointReader.Open(_folder["model"]);
        Assert.Equal(BaseDigest.Of(weights), adapter.Metadata[AdapterFolder.BaseKey]);
    }

    [Fact]
    public void What_was_trained_is_evaluated_generates_and_merges()
    {
        Succeed(Train("run", "--adapter-kind", "dora", "--adapter-targets", "q_proj,down_proj", "--adapter-dropout", "0.1", "--learning-rate", "1e-2",
            "--steps", "6"));
        string[] data = ["--data", _folder["data.jsonl"]];
        var trained = Loss(Succeed(["eval", "--model", _folder["run"], .. data]));
        var unadapted = Loss(Succeed(["eval", "--model", _folder["model"], .. data, .. Sizes]));
        Assert.True(trained < unadapted - 0.1, $"{trained} {unadapted}");
        string[] adapted = ["--model", _folder["model"], "--adapter", _folder["run/adapter"]];
        Assert.Equal(trained, Loss(Succeed(["eval", .. adapted, .. data, .. Sizes])), Tolerances.LossesOfTraining);

        string[] ask = ["--prompt", "1?", "--max-tokens", "6"];
        var words = Succeed(["generate", _folder["run"], .. ask]);
        Assert.Equal(words, Succeed(["generate", _folder["model"], "--adapter", _folder["run/adapter"], .. ask]));

        string[] hf = ["--to", "hf", "--weights", "fp32", "--prompts", "2"];
        Succeed(["export", _folder["run"], "-o", _folder["merged"], .. hf, "--merge", .. data]);
        var report = JsonDocument.Parse(File.ReadAllText(_folder["merged/merge.json"])).RootElement;
        double Number(string name) => report.GetProperty(name).GetDouble();
        Assert.Equal(1, Number("effect_that_remains"), Tolerances.LossesOfTraining);
        Assert.Equal(trained, Number("exported_loss"), Tolerances.LossesOfTraining);
        Assert.Equal(unadapted, Number("base_loss"), Tolerances.LossesOfTraining);
        Assert.All(report.GetProperty("layers").EnumerateArray(), l => Assert.InRange(l.GetProperty("error").GetDouble(), 0, Tolerances.OneOperator));
        Assert.Contains(report.GetProperty("layers").EnumerateArray(), l => l.GetProperty("change").GetDouble() > 0.01);
        Assert.Equal(1, report.GetProperty("logits").GetProperty("top1_agreement").GetDouble());
        string[] export = ["export", _folder["model"], "-o", _folder["none"], "--prompts", "0"];
        Refused(_folder, "--merge with it", [.. export, "--adapter", _folder["run/adapter"]]);
        Refused(_folder, "--adapter with it", [.. export, "--merge"]);
        Assert.Equal(trained, Loss(Succeed(["eval", "--model", _folder["merged"], .. data, .. Sizes])), Tolerances.LossesOfTraining);
        Assert.Equal(words, Succeed(["generate", _folder["merged"], .. ask]));
    }

    [Fact]
    public void Any_form_of_the_model_is_adapted_and_an_adapter_goes_on()
    {
        string[] adapter = ["--adapter-kind", "lora", "--adapter-targets", "v_proj", "--steps", "2", "--learning-rate", "1e-3"];
        Succeed(Train("folder", adapter));
        var weights = new[] { "--weights", _folder["model"], "--tokenizer", _folder["model"] };
        Succeed(["train", "--model", _folder["training.onnx"], .. weights, "--data", _folder["data.jsonl"], "-o", _folder["joint"], .. adapter]);
        Succeed(["train", "--model", ExportFixture.File(TinyChat.Export, "logits-dynamo-opset18.onnx"), .. weights, "--data", _folder["data.jsonl"],
            "-o", _folder["forward"], .. adapter, .. Sizes]);
        foreach (var other in new[] { "joint", "forward" })
            Assert.All(Losses("folder").Zip(Losses(other)), p => Assert.Equal(p.First, p.Second, Tolerances.LossesOfTraining));

        Succeed(Train("on", "--adapter", _folder["folder/adapter"], "--steps", "1"));
        var begun = Loss(Succeed("eval", "--model", _folder["folder"], "--data", _folder["data.jsonl"]));
        Assert.Equal(begun, Loss(Succeed("eval", "--model", _folder["on/artifact"], "--data", _folder["data.jsonl"])), Tolerances.LossesOfTraining);
    }

    /// <summary>Elements are those of the largest gradients; the warm-up is a run of its own, which one that goes on does not repeat.</summary>
    [Fact]
    public void Factors_and_elements_of_weights_are_trained_together()
    {
        string[] rosa = ["--adapter-kind", "rosa", "--adapter-rank", "2", "--adapter-density", "0.05", "--adapter-warmup", "3", "--adapter-targets", "q_proj,up_proj",
            "--scheme", "halo-0", "--format", "int8", "--learning-rate", "1e-2", "--steps", "6", "--save-every", "3"];
        Succeed(Train("run", rosa));
        Succeed(Train("stopped", rosa));
        Directory.Delete(_folder["stopped/checkpoints/step-00000006"], recursive: true);
        Succeed("train", "--resume", "-o", _folder["stopped"]);
        Assert.Equal(Losses("run"), Losses("stopped"));
        Assert.True(Losses("run")[^1] < Losses("run")[0]);
        Assert.Equal(3, Losses("run/warmup").Count);
        using var weights = CheckpointReader.Open(_folder["model"]);
        using (var adapter = AdapterFolder.Open(_folder["run/adapter"], weights))
        {
            Assert.All(adapter.Layers.Layers, l => Assert.Equal((long)Math.Round(0.05 * l.Weight.ElementCount!.Value), l.Sparse));
            Assert.All(adapter.Layers.Layers, l => Assert.Contains(adapter.Tensors[AdapterNames.Elements(l.Module)].ReadFloats(), v => v != 0));
        }
        string[] data = ["--data", _folder["data.jsonl"]];
        var trained = Loss(Succeed(["eval", "--model", _folder["run"], .. data]));
        string[] adapted = ["--model", _folder["model"], "--adapter", _folder["run/adapter"]];
        Assert.Equal(trained, Loss(Succeed(["eval", .. adapted, .. data, .. Sizes, "--scheme", "halo-0", "--format", "int8"])), Tolerances.LossesOfTraining);
        var exact = Loss(Succeed(["eval", .. adapted, .. data, .. Sizes]));
        Succeed(["export", _folder["run"], "-o", _folder["merged"], "--to", "hf", "--weights", "fp32", "--prompts", "2", "--merge", .. data]);
        Assert.Equal(exact, Loss(Succeed(["eval", "--model", _folder["merged"], .. data, .. Sizes])), Tolerances.LossesOfTraining);
        Refused(_folder, "rosa in halo train", "prepare", "--model", _folder["model"], "-o", _folder["prepared"], "--adapter-kind", "rosa");
    }

    [Fact]
    public void The_places_of_the_largest_sums_are_chosen() =>
        Assert.Equal([1L, 3, 4], RosaMask.Largest([1, 5, 0, 9, 5, 5], 3));

    [Fact]
    public void The_config_has_a_mapping_and_refuses_what_nothing_reads()
    {
        var config = TrainConfig.Parse("model: m\nadapter: {kind: lora, rank: 4, targets: q_proj}\n");
        Assert.Equal((Halo.Passes.Training.AdapterKind.Lora, 4, "q_proj"), (config.AdapterKind, config.AdapterRank, config.AdapterTargets));
        Assert.Equal(config, TrainConfig.Parse(config.ToYaml()));
        Assert.Contains("adapter_kind with it", Refusal("adapter_rank: 4"), StringComparison.Ordinal);
        Assert.Contains("adapter_rank: expected adapter_kind lora", Refusal("adapter: {kind: efqat, rank: 4}"), StringComparison.Ordinal);
        Assert.Contains("adapter_rows: expected adapter_kind efqat", Refusal("adapter: {kind: lora, rows: 0.5}"), StringComparison.Ordinal);
        Assert.Contains("optimizer_in_backward", Refusal("adapter: {kind: efqat}\noptimizer_in_backward: true"), StringComparison.Ordinal);
        Assert.Contains("'adapter_rnak'", Refusal("adapter: {rnak: 4}"), StringComparison.Ordinal);
        Refused(_folder, "adapter's folder or a kind", Train("none", "--adapter-kind", "lora", "--adapter", _folder["model"]));
        Refused(_folder, "Did you mean 'q_proj'?", Train("none", "--adapter-kind", "lora", "--adapter-targets", "q_prjo"));
    }

    private static string Refusal(string line) => Assert.Throws<HaloException>(() => TrainConfig.Parse($"model: m\n{line}\n")).Message;

    private string[] Train(string output, params string[] more) =>
        ["train", "--model", _folder["model"], "--data", _folder["data.jsonl"], "-o", _folder[output],
        .. Sizes, .. more.Contains("--learning-rate") ? Array.Empty<string>() : ["--learning-rate", "1e-3"], .. more];

    private List<double> Losses(string run) => [.. File.ReadLines(_folder[$"{run}/metrics.jsonl"]).Select(l => JsonDocument.Parse(l).RootElement)
        .Where(r => r.GetProperty("kind").GetString() == "train").Select(r => r.GetProperty("loss").GetDouble())];

    private static double Loss(string line) => double.Parse(line.Split(' ')[1], CultureInfo.InvariantCulture);
}
