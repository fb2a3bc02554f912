using System.Text.Json.Nodes;
using Halo.Analysis;
using Halo.Ir;
using Halo.Models.Adapters;
using Halo.Models.Bundled;
using Halo.Models.Weights;
using Halo.Runner.Plans;
using Halo.Runner.Sessions;
using Halo.Runner.Training;
using Halo.Tests.Numerics;

namespace Halo.Tests.Models.Adapters;

/// <summary>Adapters that PEFT 0.21 saved over the bundled model, with what PEFT and PyTorch compute of them in float32; see Fixtures/README.md.</summary>
public class PeftFixtureTests
{
    private const string Adapter = "rslora-r4-qv";

    [Fact]
    public void Loss_and_logits_are_those_of_PEFT_adapted_and_merged()
    {
        var folder = Path.Combine(ArchiveFixture.Folder("adapters"), Adapter);
        using var expected = SafetensorsFile.Open(Path.Combine(folder, "expected.safetensors"));
        var config = new TrainConfig { Model = LlamaTiny.Folder, Adapter = folder, MicroBatchSize = 2, SequenceLength = 40 };
        var plan = TrainingPlan.Of(config, _ => { }, holds: false);
        using var weights = CheckpointReader.Open(LlamaTiny.Folder);
        using var adapter = AdapterFolder.Open(folder, weights);
        var inputs = new Dictionary<string, Tensor>
        {
            [TrainingNames.InputIds] = Tensor.Of<byte>(ElementType.Int64, [2, 40], expected.Bytes("input_ids")),
            [TrainingNames.Labels] = Tensor.Of<byte>(ElementType.Int64, [2, 40], expected.Bytes("labels")),
            [TrainingNames.AttentionMask] = Tensor.Of<long>(ElementType.Int64, [2, 40], [.. Enumerable.Repeat(1L, 80)]),
        };
        foreach (var (name, tensor) in weights.Tensors.Concat(adapter.Tensors))
            inputs[name] = Tensor.Of<float>(ElementType.Float, [.. tensor.Shape], tensor.ReadFloats());
        Check(plan.Evaluation, "logits");

        foreach (var (name, tensor) in AdapterMerge.Of(weights, adapter.Layers, adapter.Tensors).Where(t => t.Value.Type == ElementType.Float))
            inputs[name] = tensor;
        Check(plan.Forward, "merged_logits");

        void Check(Model model, string logits)
        {
            var found = new OnnxEvaluator(OperatorKernels.Native).Evaluate(model, inputs);
            var (loss, all) = (Floats(Named(TrainingNames.Loss))[0], Floats(Named(TrainingNames.Logits)));
            Assert.Equal(expected.ReadFloats("loss")[0], loss, Tolerances.OtherOperators);
            var vocabulary = all.Length / 80;
            float[] last = [.. all[(39 * vocabulary)..(40 * vocabulary)], .. all[(79 * vocabulary)..]];
            Assert.True(RelativeError.Of(last, expected.ReadFloats(logits)) <= Tolerances.OtherOperators, logits);

            Tensor Named(string name) => found[model.Graph.Outputs.ToList().FindIndex(o => o.Name == name)];
        }
    }

    [Fact]
    public void Tensors_are_written_back_with_the_bytes_they_had()
    {
        using var target = new TemporaryFolder();
        var folder = Path.Combine(ArchiveFixture.Folder("adapters"), Adapter);
        using var weights = CheckpointReader.Open(LlamaTiny.Folder);
        using var adapter = AdapterFolder.Open(folder, weights);
        AdapterFolder.Write(target["again"], adapter.Config, adapter.Tensors.Values.Select(SafetensorsSource.From), baseDigest: null);
        using var before = SafetensorsFile.Open(Path.Combine(folder, AdapterFolder.WeightsName));
        using var after = SafetensorsFile.Open(Path.Combine(target["again"], AdapterFolder.WeightsName));
        Assert.Equal(before.Tensors.Keys.Order(StringComparer.Ordinal), after.Tensors.Keys.Order(StringComparer.Ordinal));
        Assert.All(before.Tensors.Keys, name => Assert.True(before.Bytes(name).SequenceEqual(after.Bytes(name)), name));
    }

    [Theory]
    [InlineData("lora-r8")]
    [InlineData("rslora-r4-qv")]
    [InlineData("dora-r8")]
    public void Configs_keep_every_field(string name)
    {
        var folder = Path.Combine(ArchiveFixture.Folder("adapters"), name);
        var (before, after) = (Json(File.ReadAllText(Path.Combine(folder, AdapterConfig.FileName))), Json(AdapterConfig.Load(folder).ToJson()));
        Assert.Equal(before.Select(p => p.Key).Order(StringComparer.Ordinal), after.Select(p => p.Key).Order(StringComparer.Ordinal));
        Assert.All(before, field => Assert.True(JsonNode.DeepEquals(field.Value, after[field.Key]), $"{field.Key}: {after[field.Key]?.ToJsonString()}"));
    }

    private static JsonObject Json(string text) => JsonNode.Parse(text)!.AsObject();

    private static float[] Floats(Tensor tensor) => [.. System.Runtime.InteropServices.MemoryMarshal.Cast<byte, float>(tensor.ToBytes())];
}
