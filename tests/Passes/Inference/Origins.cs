using Halo.CustomOps;
using Halo.Ir;
using Halo.Models.HuggingFace;
using Halo.Models.Llama;
using Halo.Models.Weights;
using Halo.Passes.Infra;
using Halo.Runner.Sessions;
using Halo.Serialization;

namespace Halo.Tests.Passes.Inference;

/// <summary>The graphs of a model that an inference graph is made of: built here, joint graphs as exported and with a gradient anew, forward exports.</summary>
internal static class Origins
{
    public const string Built = "built", BuiltTraining = "built with gradient", Rederived = "rederived";

    public const string LlamaTiny = "llama-tiny";

    private static readonly OnnxEvaluator Evaluator = new();

    /// <summary>The bundled training graph; tensors are read from the file when they are looked at.</summary>
    private static readonly Lazy<string> BundledGraph = new(() =>
    {
        var folder = Directory.CreateTempSubdirectory("halo-llama-tiny-").FullName;
        AppDomain.CurrentDomain.ProcessExit += (_, _) => Directory.Delete(folder, recursive: true);
        var path = Path.Combine(folder, "training.onnx");
        Halo.Models.Bundled.LlamaTiny.ExtractTrainingGraph(path);
        return path;
    });

    /// <summary>Every model with every origin that it has.</summary>
    public static TheoryData<string, string> All
    {
        get
        {
            var data = new TheoryData<string, string> { { LlamaTiny, Built }, { LlamaTiny, "training.onnx" } };
            foreach (var name in new[] { "llama2-mha", "llama32-tied" })
            {
                foreach (var origin in (string[])[Built, BuiltTraining, Rederived, "training.onnx", .. ForwardExports.Files.Take(4)])
                    data.Add(name, origin);
            }
            return data;
        }
    }

    public static string Folder(string name) => name == LlamaTiny ? Halo.Models.Bundled.LlamaTiny.Folder
        : FamilyFixture.Names.Contains(name) ? FamilyFixture.Folder(name) : ExportFixture.Folder(name);

    public static DecoderConfig Config(string name) => DecoderConfig.Load(Folder(name));

    public static PassOptions Options(string name) =>
        new()
        {
            Evaluator = Evaluator,
            Checkpoint = Checkpoint(name),
            RotaryTables = positions => RotaryTables.Of(Config(name), positions),
            Windows = Config(name).Windows
        };

    public static Dictionary<string, Tensor> Checkpoint(string name)
    {
        using var reader = CheckpointReader.Open(Path.Combine(Folder(name), "model.safetensors"));
        return reader.Tensors.ToDictionary(t => t.Key, t => Tensor.Of<byte>(t.Value.DType, [.. t.Value.Shape], t.Value.Bytes()));
    }

    /// <summary>A graph of fixed sizes, its parameters inputs; the exported joint graphs have 3 x 24 tokens, or 8 x 256, whatever is asked for.</summary>
    public static Model Graph(string name, string origin, int batch, int sequence)
    {
        if (origin is Built or BuiltTraining)
        {
            var model = LlamaGraph.Build(Config(name), batch, sequence);
            if (origin == BuiltTraining)
                PassManager.Run(model, Pipelines.Differentiate(), Options(name));
            return model;
        }
        var read = Read(name, origin == Rederived ? "training.onnx" : origin);
        Halo.Analysis.ShapeInference.Run(read.Graph);
        var passes = origin == Rederived ? Pipelines.Parse($"{Pipelines.Cleanup},{Pipelines.Rederive}")
            : origin == "training.onnx" ? []
            : Pipelines.Parse($"upgrade-opset,repair,name-parameters,specialize-shapes{{batch={batch} sequence={sequence}}}");
        PassManager.Run(read, passes, Options(name));
        return read;
    }

    private static Model Read(string name, string file) =>
        OnnxReader.Read(name == LlamaTiny ? BundledGraph.Value : Path.Combine(Folder(name), file), HaloOperators.Catalogue);
}
