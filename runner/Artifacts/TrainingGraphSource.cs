using Halo.Analysis;
using Halo.Ir;
using Halo.Models.HuggingFace;
using Halo.Models.Weights;
using Halo.Passes.Canonical;
using Halo.Passes.Canonical.Precision;
using Halo.Passes.Infra;
using Halo.Passes.Training;
using Halo.Runner.Sessions;
using Halo.Runner.Training;
using Halo.Serialization;

namespace Halo.Runner.Artifacts;

/// <summary>A graph before it is rewritten.</summary>
/// <param name="Model">With what made it in its ledger, if Halo did.</param>
/// <param name="Made">The passes that made a training graph of it; null where the file is used as it is.</param>
/// <param name="InputSha256">Hash of the file it comes from: the graph, or the config.json of a Hugging Face folder.</param>
public sealed record SourceGraph(Model Model, PassRun? Made, string InputSha256);

/// <summary>The one place where a path becomes a training graph: as it is, by differentiating a forward graph, or built from a Hugging Face folder.</summary>
public static class TrainingGraphSource
{
    /// <summary>The training graph that a config names.</summary>
    /// <remarks>
    /// Where neither the config nor the graph fixes them, a micro-batch has 8 rows of 256 tokens, or of as many as the model takes
    /// (max_position_embeddings in config.json beside tokenizer or weights).
    /// </remarks>
    /// <exception cref="HaloException">There is no graph, or none that can be differentiated.</exception>
    public static SourceGraph Of(TrainConfig config)
    {
        if (Folder(config) is { } folder)
        {
            var forward = folder.Build(config.MicroBatchSize, config.SequenceLength, config.Precision.Type(), ElementType.Float);
            return Built(forward, Pipelines.Differentiate(), GraphRewriter.Sha256(folder.ConfigPath));
        }
        var model = Read(config.Model);
        if (IsTrainingGraph(model.Graph))
        {
            var hash = GraphRewriter.Sha256(config.Model);
            return config.Precision == FloatPrecision.Fp32 ? new SourceGraph(model, null, hash)
                : Built(model, [.. Pipelines.Parse(Pipelines.Cleanup), new ConvertPrecision(config.Precision, KeepParameters: true)], hash);
        }
        using var checkpoint = CheckpointReader.Open(TrainingArtifact.WeightsOf(config));
        var (batch, sequence) = Sizes(model.Graph, config);
        var passes = Pipelines.Gradient(new GradientSettings(batch, sequence, config.Precision, KeepParameters: true));
        return Built(model, passes, GraphRewriter.Sha256(config.Model), new PassOptions { Checkpoint = TensorsOf(checkpoint) });
    }

    /// <summary>The config's model as a Hugging Face folder; null where it is a graph.</summary>
    /// <exception cref="HaloException">Another folder, or nothing.</exception>
    public static HuggingFaceSource? Folder(TrainConfig config)
    {
        if (!Path.Exists(config.Model))
        {
            throw new HaloException("model", config.Model, "a Hugging Face folder, a forward or training graph (.onnx), or an artifact of halo prepare",
                "no such file or folder", "Check the path.");
        }
        return Directory.Exists(config.Model) ? HuggingFaceSource.Open(config.Model) : null;
    }

    /// <summary>The graph of a file, whatever it is.</summary>
    public static SourceGraph AsItIs(string path)
    {
        if (Directory.Exists(path))
        {
            throw new HaloException("model", path, "a graph (.onnx)", "a folder",
                "Name the graph's file; halo prepare and halo train build graphs from Hugging Face folders.");
        }
        return new SourceGraph(Read(path), null, GraphRewriter.Sha256(path));
    }

    /// <summary>Runs a pipeline of <see cref="Pipelines"/> that ends in a training graph.</summary>
    /// <param name="model">Is changed.</param>
    /// <param name="passes">The pipeline.</param>
    /// <param name="inputSha256">Noted in the ledger.</param>
    /// <param name="options">Checkpoint and logging; the evaluator is filled in here.</param>
    /// <param name="verify">Hold the passes from the first on that finds a float32 graph with a loss, with nothing left to convert, to their claims.</param>
    public static SourceGraph Built(Model model, IReadOnlyList<IGraphPass> passes, string inputSha256, PassOptions? options = null, bool verify = false)
    {
        CustomOps.HaloOperators.Register();
        options = (options ?? new PassOptions()) with { Evaluator = new OnnxEvaluator() };
        var forward = verify ? passes.TakeWhile(p => p is not BuildGradient).ToList() : passes;
        var run = PassManager.Run(model, forward, options);
        if (verify)
        {
            var rest = PassManager.Run(model, [.. passes.Skip(forward.Count)], options with { VerifyInputs = VerificationInputs.For(model.Graph) });
            run = new PassRun([.. run.Passes, .. rest.Passes]);
        }
        Ledger.Append(model, run, inputSha256);
        return new SourceGraph(model, run, inputSha256);
    }

    /// <summary>A loss, and the gradient of something.</summary>
    public static bool IsTrainingGraph(Graph graph) => graph.Outputs.Any(o => o.Name == TrainingNames.Loss)
        && graph.Outputs.Any(TrainingNames.IsGradient);

    /// <summary>A checkpoint as passes take it; a tensor is read when it is looked at.</summary>
    public static IReadOnlyDictionary<string, Tensor> TensorsOf(CheckpointReader checkpoint)
    {
        var tensors = new OrderedDictionary<string, Tensor>();
        foreach (var (name, tensor) in checkpoint.Tensors)
            tensors.Add(name, new Tensor(tensor.DType, tensor.Shape, tensor));
        return tensors;
    }

    private static Model Read(string path)
    {
        CustomOps.HaloOperators.Register();
        var model = OnnxReader.Read(path);
        ShapeInference.Run(model.Graph);
        return model;
    }

    private static (long Batch, long Sequence) Sizes(Graph graph, TrainConfig config)
    {
        var tokens = graph.Inputs.FirstOrDefault(i => i.Name == TrainingNames.InputIds)?.Shape;
        var (rows, length) = tokens is { Rank: 2 } ? (tokens[0].Size, tokens[1].Size) : (null, null);
        return (config.MicroBatchSize ?? rows ?? HuggingFaceSource.DefaultBatch, config.SequenceLength ?? length ?? DefaultSequence(config));
    }

    private static long DefaultSequence(TrainConfig config) =>
        HuggingFaceFolder.Find(TrainingArtifact.Companions(config), "config.json") is { } path
            ? Math.Min(HuggingFaceSource.DefaultSequence, LlamaConfig.Load(path).MaxPositions)
            : HuggingFaceSource.DefaultSequence;
}
