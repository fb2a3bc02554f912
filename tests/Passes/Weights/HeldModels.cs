using Halo.Ir;
using Halo.Models.Bundled;
using Halo.Models.HuggingFace;
using Halo.Models.Llama;
using Halo.Models.Weights;
using Halo.Passes.Export;
using Halo.Passes.Infra;
using Halo.Runner.Sessions;
using Halo.Runner.Sources;

namespace Halo.Tests.Passes.Weights;

/// <summary>Real models as forward graphs that hold their weights, and what they compute.</summary>
internal static class HeldModels
{
    public const int Rows = 3, Tokens = 24;

    public static TheoryData<string> All => ["llama-tiny", "llama2-mha", "llama32-tied"];

    private static string Folder(string name) => name == "llama-tiny" ? LlamaTiny.Folder : ExportFixture.Folder(name);

    /// <summary>Built from the config, parameters from the checkpoint, outputs loss and logits, with gains that are not all ones.</summary>
    public static Model Read(string name)
    {
        var model = EvaluationGraph.Of(LlamaGraph.Build(DecoderConfig.Load(Folder(name)), Rows, Tokens));
        using var reader = CheckpointReader.Open(Folder(name));
        var random = new Random(3);
        var checkpoint = reader.Tensors.ToDictionary(t => t.Key, t => t.Value.Shape.Count > 1
            ? Tensor.Of<byte>(t.Value.DType, [.. t.Value.Shape], t.Value.Bytes())
            : Tensor.Floats([.. t.Value.Shape], [.. t.Value.ReadFloats().Select(v => v * (float)(0.5 + random.NextDouble()))]));
        PassManager.Run(model, [new HoldParameters()], new PassOptions { Checkpoint = checkpoint });
        return model;
    }

    public static void Run(Model model, string pipeline) =>
        PassManager.Run(model, Pipelines.Parse(pipeline), new PassOptions { Evaluator = new OnnxEvaluator() });

    public static float[] Logits(Model model)
    {
        var random = new Random(4);
        var vocabulary = (int)model.Graph.Outputs.Single(o => o.Name == "logits").Shape![-1].Size!.Value;
        Tensor Integers(Func<int, long> at) =>
            Tensor.Of<long>(ElementType.Int64, [Rows, Tokens], [.. Enumerable.Range(0, Rows * Tokens).Select(i => at(i % Tokens))]);
        var inputs = new Dictionary<string, Tensor>
        {
            ["input_ids"] = Integers(_ => random.Next(vocabulary)),
            ["attention_mask"] = Integers(t => t < Tokens - 3 ? 1 : 0),
            ["labels"] = Integers(_ => random.Next(vocabulary)),
        };
        var outputs = model.Graph.Outputs.Zip(new OnnxEvaluator().Evaluate(model, inputs)).ToDictionary(p => p.First.Name, p => p.Second);
        return outputs["logits"].ToArray<float>();
    }

    /// <summary>20 log10(||expected|| / ||found - expected||).</summary>
    public static double Decibels(float[] found, float[] expected) => -20 * Math.Log10(Numerics.RelativeError.Of(found, expected));
}
