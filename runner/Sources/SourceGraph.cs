using Halo.Analysis;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Models.Weights;
using Halo.Passes.Infra;
using Halo.Passes.Training;
using Halo.Runner.Sessions;
using Halo.Serialization;

namespace Halo.Runner.Sources;

/// <summary>A graph before it is rewritten.</summary>
/// <param name="Model">With what made it in its ledger, if Halo did.</param>
/// <param name="Made">The passes that made a training graph of it; null where the file is used as it is.</param>
/// <param name="InputSha256">Hash of the file it comes from: the graph, or the config.json of a Hugging Face folder.</param>
internal sealed record SourceGraph(Model Model, PassRun? Made, string InputSha256)
{
    /// <summary>A line for each node whose value the loss is computed from and that no gradient goes through.</summary>
    public IEnumerable<string> GradientEnds => Made?.Passes.SelectMany(p => p.Skipped.Where(s => s.Reason == BuildGradient.EndsThere)
        .Select(s => $"{p.Pass.Name}: {s.Node}: {s.Reason}")) ?? [];

    /// <summary>The graph of a file, whatever it is.</summary>
    public static SourceGraph AsItIs(string path)
    {
        if (Directory.Exists(path))
        {
            throw new HaloException("model", path, "a graph (.onnx)", "a folder",
                "Name the graph's file; halo gradient makes a training graph of a Hugging Face folder, and halo train takes the folder.");
        }
        var model = OnnxReader.Read(path, HaloOperators.Catalogue);
        ShapeInference.Run(model.Graph);
        return new SourceGraph(model, null, GraphRewriter.Sha256(path));
    }

    /// <summary>Runs a pipeline of <see cref="Pipelines"/> that ends in a training graph.</summary>
    /// <param name="model">Is changed.</param>
    /// <param name="passes">The pipeline.</param>
    /// <param name="inputSha256">Noted in the ledger.</param>
    /// <param name="options">Checkpoint and logging; the evaluator is filled in here.</param>
    /// <param name="verify">Hold the passes from the first on that finds a float32 graph with a loss, with nothing left to convert, to their claims.</param>
    public static SourceGraph Built(Model model, IReadOnlyList<IGraphPass> passes, string inputSha256, PassOptions? options = null, bool verify = false)
    {
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

    /// <summary>The same graph in a model of its own.</summary>
    public SourceGraph Copy() => this with { Model = Model.Clone() };

    /// <summary>A checkpoint as passes take it; a tensor is read when it is looked at.</summary>
    public static IReadOnlyDictionary<string, Tensor> TensorsOf(CheckpointReader checkpoint)
    {
        var tensors = new OrderedDictionary<string, Tensor>();
        foreach (var (name, tensor) in checkpoint.Tensors)
            tensors.Add(name, new Tensor(tensor.DType, tensor.Shape, tensor));
        return tensors;
    }
}
