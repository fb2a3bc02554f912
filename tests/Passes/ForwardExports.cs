using Halo.CustomOps;
using Halo.Ir;
using Halo.Models.Weights;
using Halo.Passes.Infra;
using Halo.Passes.Training;
using Halo.Runner.Sessions;
using Halo.Runner.Sources;
using Halo.Serialization;

namespace Halo.Tests.Passes;

/// <summary>The real forward exports, made training graphs and run on the batch that PyTorch's values belong to.</summary>
internal static class ForwardExports
{
    public const long Rows = 3, Tokens = 24;

    public static readonly string[] Files =
    [
        "loss-dynamo-opset18.onnx", "logits-dynamo-opset18.onnx", "logits-torchscript-opset17.onnx", "logits-dynamo-sdpa-opset23.onnx",
        "logits-dynamo-bf16-opset18.onnx",
    ];

    /// <summary>A copy of a checkpoint in memory.</summary>
    public static Dictionary<string, Tensor> Checkpoint(string name)
    {
        using var reader = CheckpointReader.Open(ExportFixture.File(name, "model.safetensors"));
        return reader.Tensors.ToDictionary(t => t.Key, t => Tensor.Of<byte>(t.Value.DType, [.. t.Value.Shape], t.Value.Bytes()));
    }

    public static Model Gradient(string name, string file, GradientSettings settings, IReadOnlyDictionary<string, Tensor>? checkpoint = null) =>
        SourceGraph.Built(OnnxReader.Read(ExportFixture.File(name, file), HaloOperators.Catalogue), Pipelines.Gradient(settings), "",
            new PassOptions { Checkpoint = checkpoint ?? Checkpoint(name) }).Model;

    /// <summary>Loss and gradients in float32, by name, from the checkpoint's weights on PyTorch's batch.</summary>
    public static Dictionary<string, float[]> Step(string name, Model model)
    {
        var inputs = Checkpoint(name);
        using (var batch = SafetensorsFile.Open(ExportFixture.File(name, "expected.safetensors")))
        {
            foreach (var input in new[] { "input_ids", "attention_mask", "labels" })
                inputs[input] = Tensor.Of<long>(ElementType.Int64, [.. batch[input].Shape], batch.ReadLongs(input));
        }
        foreach (var input in model.Graph.Inputs.Where(i => i.Type.IsFloat() && i.Type != inputs[i.Name].Type))
            inputs[input.Name] = Halo.Passes.Canonical.Precision.ConvertedBytes.Convert(inputs[input.Name], input.Type);
        return model.Graph.Outputs.Zip(new OnnxEvaluator().Evaluate(model, inputs)).ToDictionary(p => p.First.Name, p =>
        {
            var values = new float[p.Second.ElementCount];
            FloatConversions.ToFloat(p.Second.Type, p.Second.ToBytes(), values);
            return values;
        });
    }

    /// <summary>PyTorch's float32 loss and gradients.</summary>
    public static Dictionary<string, float[]> Expected(string name)
    {
        using var file = SafetensorsFile.Open(ExportFixture.File(name, "expected.safetensors"));
        return file.Tensors.Keys.Where(n => n == "loss" || n.StartsWith("grad.", StringComparison.Ordinal)).ToDictionary(n => n, file.ReadFloats);
    }
}
