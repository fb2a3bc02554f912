using System.Text.Json;
using Halo.Analysis;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Memory;
using Halo.Models.Optimizer;
using Halo.Passes.Infra;
using Halo.Runner.Sessions;
using Halo.Serialization;

namespace Halo.Tests.Runner;

/// <summary>Updates in the training graph: the optimizer's own bits, each as soon as its gradient is there.</summary>
public sealed class OptimizerInBackwardTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("--rederive", "true", "--recompute", "weights", "--scheme", "halo-0", "--format", "fp8")]
    [InlineData("--weight-decay", "0.1")]
    public void A_run_has_the_bits_of_the_optimizers_own_graph(params string[] options)
    {
        var model = TinyChat.Write(_folder);
        var apart = Train(model, "apart", options);
        var within = Train(model, "within", [.. options, "--optimizer-in-backward", "true"]);
        Assert.Equal(apart.Updates, within.Updates);
        Assert.Equal(apart.Checkpoint, within.Checkpoint);
    }

    /// <summary>The first update is not clipped, the second by the first one's norm; a run that was resumed knows it.</summary>
    [Fact]
    public void Clipping_goes_by_the_step_before()
    {
        var model = TinyChat.Write(_folder);
        string[] options = ["--optimizer-in-backward", "true", "--clip-norm", "0.01", "--clip-by", "previous_step"];
        var (whole, unclipped) = (Train(model, "whole", options), Train(model, "unclipped", "--optimizer-in-backward", "true"));
        Assert.Equal(unclipped.Updates.Take(2), whole.Updates.Take(2));
        Assert.NotEqual(unclipped.Checkpoint, whole.Checkpoint);
        Train(model, "cut", [.. options, "--save-every", "2"]);
        Directory.Delete(_folder["cut/checkpoints/step-00000003"], recursive: true);
        Directory.Delete(_folder["cut/model"], recursive: true);
        HaloConsole.Succeed("train", "--resume", "-o", _folder["cut"]);
        Assert.Equal(whole.Checkpoint, Read("cut").Checkpoint);
    }

    [Theory]
    [InlineData("expected clip_by previous_step where optimizer_in_backward clips", "--clip-norm", "1")]
    [InlineData("expected one micro-batch an update: a batch of 3 rows, found a batch of 6", "--batch-size", "6")]
    public void What_needs_all_gradients_is_refused(string message, params string[] options)
    {
        var (exitCode, _, error) = HaloConsole.Run(Arguments(TinyChat.Write(_folder), "refused", [.. options, "--optimizer-in-backward", "true"]));
        Assert.NotEqual(0, exitCode);
        Assert.Contains(message, error, StringComparison.Ordinal);
    }

    /// <summary>In the order of the runtime, no gradient waits behind that of another layer, and nothing reads a parameter behind its update.</summary>
    [Theory]
    [InlineData("llama2-mha", Pipelines.Rederive)]
    [InlineData("llama32-tied", Pipelines.Rederive + ",quantize-operands{format=fp8},recompute{by=weights}")]
    [InlineData("llama3-gqa", Pipelines.Rederive + ",quantize-operands{format=fp8},order-nodes")]
    public void Updates_come_with_their_gradients(string name, string pipeline)
    {
        var model = OnnxReader.Read(ExportFixture.File(name, "training.onnx"), HaloOperators.Catalogue);
        PassManager.Run(model, Pipelines.Parse(Pipelines.Cleanup + "," + pipeline), new PassOptions { Evaluator = new OnnxEvaluator() });
        (string Name, Shape Shape)[] parameters = [.. model.Graph.Inputs.Where(i => i.Type.IsFloat()).Select(i => (i.Name, i.Shape!))];
        ShapeInference.Run(model.Graph);
        OptimizerInBackward.AddTo(model, parameters, new AdamWSettings(), ElementType.Float);
        PassManager.Run(model, Pipelines.Parse("order-nodes"), new PassOptions());
        var order = RunOrder.Of(model.Graph).Select((node, place) => (node, place)).ToDictionary(p => p.node, p => p.place);
        var updates = order.Where(n => n.Key.OpType == nameof(AdamW)).ToList();
        Assert.Equal(parameters.Length, updates.Count);
        foreach (var (update, place) in updates)
        {
            Assert.All(update.Inputs[0]!.Uses.Where(u => u.Node != update), u => Assert.True(order[u.Node] < place, $"{u.Node} reads behind {update}"));
            var gradient = update.Inputs[1]!.Producer!.Inputs[0]!.Producer!;
            Assert.True(place - order[gradient] < 40, $"{update} comes {place - order[gradient]} nodes behind its gradient");
        }
    }

    private string[] Arguments(string[] model, string output, params string[] options) =>
        ["train", .. model, "--data", _folder["data.jsonl"], "-o", _folder[output], "--steps", "3", "--learning-rate", "1e-2", "--schedule", "constant", .. options];

    private (IReadOnlyList<string> Updates, byte[][] Checkpoint) Train(string[] model, string output, params string[] options)
    {
        HaloConsole.Succeed(Arguments(model, output, options));
        return Read(output);
    }

    /// <summary>Loss and gradient norm of each update, and the last checkpoint's parameters and moments.</summary>
    private (IReadOnlyList<string> Updates, byte[][] Checkpoint) Read(string output) => (
        [.. File.ReadLines(_folder[$"{output}/metrics.jsonl"]).Select(l => JsonDocument.Parse(l).RootElement)
            .Where(r => r.GetProperty("kind").GetString() == "train")
            .Select(r => $"{r.GetProperty("loss").GetRawText()} {r.GetProperty("gradient_norm").GetRawText()}")],
        [.. new[] { "model.safetensors", "optimizer.safetensors" }.Select(file => File.ReadAllBytes(_folder[$"{output}/checkpoints/step-00000003/{file}"]))]);
}
