using System.Text.Json.Nodes;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Models.Bundled;
using Halo.Models.Weights;
using Halo.Serialization;
using Halo.Tests.Models.Llama;
using Halo.Tests.Numerics;

using static Halo.Tests.Runner.HaloConsole;

namespace Halo.Tests.Runner;

/// <summary>From a Hugging Face folder to a run, with no graph from outside.</summary>
public class HuggingFaceSourceTests
{
    /// <summary>Both start from the same weights in float32; sums of other order differ in the last bits, which training lets grow.</summary>
    [Fact]
    public void The_bundled_folder_and_the_rederived_graph_train_with_the_losses_of_the_exported_graph()
    {
        const int Updates = 8;
        using var run = new TinyRun();
        string[] Train(string output, string model, params string[] more) =>
        [
            "train", "--model", model, "--data", TinyRun.Data("train.jsonl"), "-o", run[output], "--steps", $"{Updates}", "--learning-rate", "1e-3",
            "--warmup-steps", $"{Updates}", .. more,
        ];
        Succeed(Train("exported", run.Graph, "--weights", LlamaTiny.Folder));
        Succeed(Train("built", LlamaTiny.Folder));
        Succeed(Train("rederived", run.Graph, "--weights", LlamaTiny.Folder, "--rederive", "true"));
        double[] Losses(string output) => [.. run.Updates(output).Select(u => double.Parse(u.Split(' ')[1]))];
        var (exported, built) = (Losses("exported"), Losses("built"));
        Assert.Equal(Updates, built.Length);
        Assert.All(exported.Zip(built), pair => Assert.Equal(pair.First, pair.Second, Tolerances.LossesOfTraining));
        Assert.All(exported.Zip(Losses("rederived")), pair => Assert.Equal(pair.First, pair.Second, Tolerances.LossesOfTraining));
        Assert.True(built[^1] < built[0] - 1, $"{built[0]} to {built[^1]}");
        Assert.True(File.Exists(Path.Combine(run["built"], "model", "model.safetensors")));
    }

    /// <summary>PyTorch's, as TrainVerbTests has it.</summary>
    [Fact]
    public void The_bundled_folder_has_the_reference_loss_on_the_validation_data()
    {
        var output = Succeed("eval", "--model", LlamaTiny.Folder, "--data", TinyRun.Data("valid.jsonl"), "--batch-size", "50");
        Assert.Equal(4.533, double.Parse(output.Split(' ')[1]), 0.002);
        Assert.Contains("4370 tokens of 150 rows", output, StringComparison.Ordinal);
    }

    [Fact]
    public void Sizes_are_given_or_the_defaults_and_every_layer_is_rewritten()
    {
        using var folder = new TemporaryFolder();
        TinyChat.Write(folder);
        string[] prepare = ["prepare", "--model", folder["model"], "--scheme", "halo-2", "--format", "int8", "-o"];
        Succeed([.. prepare, folder["default"]]);
        var manifest = JsonNode.Parse(File.ReadAllText(folder["default/manifest.json"]))!;
        Assert.Equal((8, 128), ((int)manifest["rows"]!, (int)manifest["sequence"]!));
        Assert.Equal(["build-gradient", "upgrade-opset", "order-nodes"],
            manifest["ledger"]!["rewrites"]!.AsArray().Select(r => (string)r!["passes"]![0]!["pass"]!));
        Succeed([.. prepare, folder["given"], "--micro-batch-size", "2", "--sequence-length", "20"]);
        manifest = JsonNode.Parse(File.ReadAllText(folder["given/manifest.json"]))!;
        Assert.Equal((2, 20), ((int)manifest["rows"]!, (int)manifest["sequence"]!));
        Assert.Equal("lm_head", (string)Assert.Single(manifest["skipped"]!.AsArray())!["node"]!);
        var linears = manifest["linears"]!.AsArray().Where(l => !(bool)l!["head"]!).ToList();
        Assert.Equal(14, linears.Count);
        Assert.All(linears, l => Assert.Equal((1, 1, 1), (l!["F"]!.AsArray().Count, l["E"]!.AsArray().Count, l["G"]!.AsArray().Count)));
        Assert.All(linears, l => Assert.Equal("int8,int8", (string)l!["formats"]!["G"]!));
        Refused(folder, "max_position_embeddings", [.. prepare, folder["long"], "--sequence-length", "129"]);
    }

    /// <summary>--verify runs the graph before and after, and a frozen parameter has no gradient.</summary>
    [Fact]
    public void A_training_graph_of_a_folder_is_written_and_gives_PyTorchs_gradients()
    {
        using var folder = new TemporaryFolder();
        TinyChat.Write(folder);
        string[] gradient = ["gradient", folder["model"], "-o", folder["built.onnx"], "--batch", "3", "--sequence", "24"];
        Succeed([.. gradient, "--verify", "--freeze", "*embed*"]);
        var expectedPath = ExportFixture.File(TinyChat.Export, "expected.safetensors");
        Succeed("step", folder["built.onnx"], "--params", folder["model/model.safetensors"], "--batch", expectedPath, "-o", folder["out.safetensors"]);
        using var found = SafetensorsFile.Open(folder["out.safetensors"]);
        using var expected = SafetensorsFile.Open(expectedPath);
        Assert.False(found.Tensors.ContainsKey("grad.model.embed_tokens.weight"));
        Assert.Equal(expected.Tensors.Keys.Count(n => n.StartsWith("grad.", StringComparison.Ordinal)), found.Tensors.Count);
        Assert.All(found.Tensors.Keys,
            name => Assert.True(RelativeError.Of(found.ReadFloats(name), expected.ReadFloats(name)) <= Tolerances.OtherOperators, name));
        Succeed([.. gradient, "--precision", "bf16"]);
        Assert.Equal(ElementType.BFloat16, OnnxReader.Read(folder["built.onnx"], HaloOperators.Catalogue).Graph.Outputs[^1].Type);
        Refused(folder, "--raw", [.. gradient, "--raw"]);
    }

    [Fact]
    public void Preparing_a_folder_twice_gives_the_same_bytes()
    {
        using var folder = new TemporaryFolder();
        TinyChat.Write(folder);
        foreach (var output in new[] { "a", "b" })
            Succeed("prepare", "--model", folder["model"], "--scheme", "halo-1", "--format", "fp8", "-o", folder[output]);
        Assert.Equal(Files(folder["a"]).Select(f => f.Replace(folder["a"], "", StringComparison.Ordinal)),
            Files(folder["b"]).Select(f => f.Replace(folder["b"], "", StringComparison.Ordinal)));
    }

    [Fact]
    public void Shards_stay_shards_and_are_trained_from()
    {
        using var folder = new TemporaryFolder();
        TinyChat.Write(folder);
        using (var single = CheckpointReader.Open(folder["model"]))
            Shards.Write(folder["model"], [.. single.Tensors.Values.Select(SafetensorsSource.From)], count: 3);
        File.Delete(folder["model/model.safetensors"]);
        Succeed("prepare", "--model", folder["model"], "-o", folder["artifact"], "--micro-batch-size", "3", "--sequence-length", "24");
        Assert.Equal(4, Directory.GetFiles(folder["artifact/checkpoint"], "model*").Length);
        Succeed("train", "--model", folder["artifact"], "--data", folder["data.jsonl"], "-o", folder["run"], "--steps", "2");
        var before = Loss(Succeed("eval", "--model", folder["artifact"], "--data", folder["data.jsonl"]));
        Assert.True(Loss(Succeed("eval", "--model", folder["run"], "--data", folder["data.jsonl"])) < before);
        Assert.Equal(before,
            Loss(Succeed("eval", "--model", folder["model"], "--data", folder["data.jsonl"], "--sequence-length", "24")), Tolerances.OtherPadding);
    }

    [Fact]
    public void Weights_that_changed_after_the_artifact_was_made_are_refused()
    {
        using var folder = new TemporaryFolder();
        TinyChat.Write(folder);
        Succeed("prepare", "--model", folder["model"], "-o", folder["artifact"]);
        var weights = folder["artifact/checkpoint/model.safetensors"];
        var bytes = File.ReadAllBytes(weights);
        bytes[^1] ^= 1;
        File.WriteAllBytes(weights, bytes);
        Refused(folder, "weights in manifest.json", "train", "--model", folder["artifact"], "--data", folder["data.jsonl"], "-o", folder["run"]);
        Refused(folder, "weights in manifest.json", "eval", "--model", folder["artifact"], "--data", folder["data.jsonl"]);
    }

    [Fact]
    public void A_checkpoint_of_another_model_is_refused_with_its_names_and_tables_of_old_ones_are_said()
    {
        using var folder = new TemporaryFolder();
        TinyChat.Write(folder);
        var weights = folder["model/model.safetensors"];
        SafetensorsSource[] tensors;
        using (var single = CheckpointReader.Open(folder["model"]))
            tensors = [.. single.Tensors.Values.Select(t => new SafetensorsSource(t.Name, t.DType, t.Shape, t.Bytes().ToArray()))];
        SafetensorsWriter.Write(weights, [.. tensors, tensors[0] with { Name = "model.layers.0.self_attn.rotary_emb.inv_freq" }]);
        var (exitCode, _, error) = Run("prepare", "--model", folder["model"], "-o", folder["artifact"]);
        Assert.Equal(0, exitCode);
        Assert.Contains("1 tensors that the model does not need: model.layers.0.self_attn.rotary_emb.inv_freq", error, StringComparison.Ordinal);
        SafetensorsWriter.Write(weights, [.. tensors[..^1], tensors[0] with { Name = "model.extra" }]);
        foreach (var verb in new[] { "prepare", "train", "eval" })
        {
            string[] places = verb switch
            {
                "prepare" => ["-o", folder["other"]],
                "train" => ["-o", folder["other"], "--data", folder["data.jsonl"]],
                _ => ["--data", folder["data.jsonl"]],
            };
            Refused(folder, $"none of the names {tensors[^1].Name}", [verb, "--model", folder["model"], .. places]);
        }
    }

    private static double Loss(string output) => double.Parse(output.Split(' ')[1]);
}
