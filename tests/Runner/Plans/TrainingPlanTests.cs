using System.Text.Json.Nodes;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Models.HuggingFace;
using Halo.Models.Llama;
using Halo.Models.Optimizer;
using Halo.Passes.Infra;
using Halo.Runner.Artifacts;
using Halo.Runner.Data;
using Halo.Runner.Plans;
using Halo.Runner.Sources;
using Halo.Runner.Sessions;
using Halo.Runner.Training;
using Halo.Runner.Training.Config;
using Halo.Runner.Training.Engine;
using Halo.Serialization;

using static Halo.Tests.Runner.HaloConsole;

namespace Halo.Tests.Runner.Plans;

/// <summary>What a plan makes, how often, and what an artifact keeps of it.</summary>
[Collection(nameof(HaloConsole))]
public sealed class TrainingPlanTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Train_builds_each_graph_once_and_parses_none_that_it_built()
    {
        TinyChat.Write(_folder);
        string[] train = ["train", "--data", _folder["data.jsonl"], "--valid", _folder["data.jsonl"], "--steps", "1", "--scheme", "halo-0", "--format", "fp8"];
        using (var count = new GraphCount())
        {
            Succeed([.. train, "--model", _folder["model"], "--micro-batch-size", "3", "--sequence-length", "24", "-o", _folder["built"]]);
            Assert.Equal(["adamw", "llama"], count.Built);
            Assert.Empty(count.Parsed);
        }
        using (var count = new GraphCount())
        {
            Succeed([.. train, "--model", _folder["training.onnx"], "--weights", _folder["model"], "-o", _folder["exported"]]);
            Assert.Equal(["adamw"], count.Built);
            Assert.Equal(["training.onnx"], count.Parsed);
        }
        using (var count = new GraphCount())
        {
            var forward = ExportFixture.File(TinyChat.Export, "logits-dynamo-sdpa-opset23.onnx");
            Succeed([.. train, "--model", forward, "--weights", _folder["model"], "--micro-batch-size", "3", "--sequence-length", "24", "-o", _folder["made"]]);
            Assert.Equal(["adamw"], count.Built);
            Assert.Equal([Path.GetFileName(forward)], count.Parsed);
        }
        using (var count = new GraphCount())
        {
            Succeed([.. train[..7], "--model", _folder["built/artifact"], "-o", _folder["prepared"]]);
            Assert.Empty(count.Built);
            Assert.Equal(["training_model.onnx"], count.Parsed);
        }
    }

    [Fact]
    public void Eval_over_several_batches_builds_the_graph_once()
    {
        TinyChat.Write(_folder);
        using var count = new GraphCount();
        Succeed("eval", "--model", _folder["model"], "--data", _folder["data.jsonl"], "--micro-batch-size", "3", "--sequence-length", "24", "--batch-size", "7");
        Assert.Equal(["llama"], count.Built);
        Assert.Empty(count.Parsed);
    }

    [Fact]
    public void An_artifact_is_the_plan_written()
    {
        var config = Config();
        var plan = TrainingPlan.Of(config, _ => { });
        var read = TrainingArtifact.Write(plan, _folder["artifact"], _ => { }).PlanFor(config);
        Assert.Equal(plan.Optimizer, read.Optimizer);
        Assert.Equal((plan.Interface.Rows, plan.Interface.Sequence), (read.Interface.Rows, read.Interface.Sequence));
        Assert.Equal(plan.Interface.Parameters.Select(p => p.Name), read.Interface.Parameters.Select(p => p.Name));
        Assert.Equal(plan.Interface.Batch, read.Interface.Batch);
        foreach (var (made, kept) in new[] { (plan.Training, read.Training), (plan.Evaluation, read.Evaluation), (plan.Forward, read.Forward),
            (plan.OptimizerModel, read.OptimizerModel) })
            Assert.Equal(OnnxWriter.ToBytes(made), OnnxWriter.ToBytes(kept));
    }

    [Theory]
    [InlineData("optimizer")]
    [InlineData("constants")]
    public void Settings_of_the_optimizer_that_differ_are_named(string from)
    {
        var config = Config() with { WeightDecay = 0.01, ClipNorm = 1 };
        var artifact = TrainingArtifact.Write(TrainingPlan.Of(config, _ => { }), _folder["artifact"], _ => { });
        if (from == "constants") // of Halo 0.1, whose graph held them and whose manifest did not
        {
            var model = new Model(new Graph("adamw"), HaloOperators.Catalogue) { Opsets = { [""] = 21 } };
            var graph = model.Graph;
            foreach (var (name, value) in new[] { ("beta1", 0.9f), ("beta2", 0.999f), ("epsilon", 1e-8f), ("weight_decay", 0.01f), ("clip_norm", 1f) })
                graph.AddInitializer(name, Tensor.Scalar(value));
            OnnxWriter.Write(model, artifact.OptimizerModel);
            var path = _folder["artifact/manifest.json"];
            var manifest = JsonNode.Parse(File.ReadAllText(path))!.AsObject();
            manifest.Remove("optimizer");
            manifest["files"]!["optimizer_model.onnx"] = GraphRewriter.Sha256(artifact.OptimizerModel);
            File.WriteAllText(path, manifest.ToJsonString());
            artifact = TrainingArtifact.Open(artifact.Folder);
        }
        OptimizerSettings.Check(config, artifact.PlanFor(config).Optimizer, artifact.Folder);
        foreach (var (other, key, found) in new[]
        {
            (config with { Beta1 = 0.8 }, "beta1", "0.8"), (config with { Beta2 = 0.95 }, "beta2", "0.95"), (config with { Epsilon = 1e-6 }, "epsilon", "1E-06"),
            (config with { WeightDecay = 0 }, "weight_decay", "0"), (config with { ClipNorm = null }, "clip_norm", "null"),
        })
        {
            var message = Assert.Throws<HaloException>(() => OptimizerSettings.Check(other, artifact.PlanFor(other).Optimizer, artifact.Folder)).Message;
            Assert.StartsWith($"train: {key}: expected ", message, StringComparison.Ordinal);
            Assert.Contains($"found {found}. Give the settings", message, StringComparison.Ordinal);
        }
    }

    /// <summary>An update keeps its digits in float32; the loss of such a graph is had on a GPU all the same.</summary>
    [Fact]
    public void A_graph_of_bfloat16_parameters_is_told_of_the_device_that_it_is_for()
    {
        var config = Config() with { Model = ExportFixture.File(TinyChat.Export, "training-bf16.onnx"), Scheme = "none", Format = "none" };
        Assert.Contains("The CPU runs no bfloat16", Assert.Throws<HaloException>(() => TrainingPlan.Of(config, _ => { })).Message, StringComparison.Ordinal);
        var plan = TrainingPlan.Of(config with { Device = GraphDevice.Cuda }, _ => { });
        Assert.Equal(ElementType.BFloat16, plan.Interface.ParameterType);
        var message = Assert.Throws<HaloException>(() => plan.OptimizerModel).Message;
        Assert.Contains("expected float32 parameters", message, StringComparison.Ordinal);
        Assert.DoesNotContain("CPU", message, StringComparison.Ordinal);
    }

    [Fact]
    public void Inputs_of_a_batch_are_data()
    {
        var config = DecoderConfig.Load(ExportFixture.File(TinyChat.Export, "config.json"));
        var model = LlamaGraph.Build(config, 2, 6, packed: true);
        PassManager.Run(model, Pipelines.Differentiate(), new PassOptions { Evaluator = new OnnxEvaluator() });
        var @interface = TrainingInterface.Of(model.Graph, "packed", GraphDevice.Cpu);
        Assert.Equal(["input_ids", "attention_mask", "labels", "position_ids", "document_ids"], @interface.Batch.Select(b => b.Name));
        Assert.DoesNotContain(@interface.Parameters, p => p.Name.EndsWith("_ids", StringComparison.Ordinal));
        var batch = MicroBatch.Of([new TokenizedRow([7, 8, 9], [0, 0, 1])], @interface.Layout(padId: 1));
        Assert.Equal([7, 8, 9, 1, 1, 1, 7, 8, 9, 1, 1, 1], batch[BatchRole.TokenIds]);
        Assert.Equal([0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5], batch[BatchRole.Positions]);
        Assert.Equal([0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1], batch[BatchRole.Documents]);
        using var engine = new TrainingEngine(@interface, new GraphSession("packed", OnnxWriter.ToBytes(model), new SessionSettings()),
            OnnxWriter.ToBytes(AdamWGraph.Build(@interface.Trained, new AdamWSettings())), accumulates: false, threads: 0);
        var random = new Random(1);
        foreach (var (name, shape) in @interface.Parameters)
            engine.Parameters.Write(name, [.. Enumerable.Range(0, (int)shape.ElementCount!.Value).Select(_ => (float)(random.NextDouble() - 0.5))]);
        Assert.True(double.IsFinite(engine.Step([batch], 1, 0.01).Loss));
    }

    [Fact]
    public void Every_key_says_which_verb_reads_it() =>
        Assert.All(ConfigKey.OfTrainConfig, key => Assert.True(key.IsUsedBy(ConfigUse.Train), $"{key.Name} lacks [UsedBy], or train does not read it"));

    private TrainConfig Config()
    {
        TinyChat.Write(_folder);
        return new TrainConfig { Model = _folder["training.onnx"], Weights = _folder["model"], Scheme = "halo-0", Format = "fp8" };
    }
}
