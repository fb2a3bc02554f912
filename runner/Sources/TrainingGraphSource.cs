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

namespace Halo.Runner.Sources;

/// <summary>The one place where a path becomes a training graph: as it is, by differentiating a forward graph, or built from a Hugging Face folder.</summary>
/// <remarks>A file is parsed once and a graph of one float type built once, whatever is asked for and how often: each answer is a copy of its own.</remarks>
internal sealed class TrainingGraphSource
{
    private readonly TrainConfig _config;
    private readonly SourceGraph? _file; // null for a folder
    private readonly Dictionary<(FloatPrecision, bool Packs), SourceGraph> _forward = []; // of a folder, without gradient
    private readonly Dictionary<(FloatPrecision, bool Adapts, bool Packs), SourceGraph> _training = [];

    private TrainingGraphSource(TrainConfig config, HuggingFaceSource? folder)
    {
        (_config, Folder, _file) = (config, folder, folder is null ? SourceGraph.AsItIs(config.Model) : null);
        Adapter = RunAdapter.Of(config, folder);
    }

    /// <summary>The adapter that is trained, or evaluated, over a frozen base; null where there is none.</summary>
    public RunAdapter? Adapter { get; }

    /// <summary>The config's model as a Hugging Face folder; null where it is a graph.</summary>
    public HuggingFaceSource? Folder { get; }

    /// <summary>Parses the config's graph, or reads config.json.</summary>
    /// <exception cref="HaloException">There is neither, or a damaged one.</exception>
    public static TrainingGraphSource Open(TrainConfig config) => new(config, HuggingFaceSource.Of(config));

    /// <summary>The training graph, in the float type of the config.</summary>
    /// <remarks>
    /// Where neither the config nor the graph fixes them, a micro-batch has 8 rows of 256 tokens, or of as many as the model takes
    /// (max_position_embeddings in config.json beside tokenizer or weights).
    /// </remarks>
    /// <exception cref="HaloException">It cannot be differentiated.</exception>
    public SourceGraph Training() => Training(_config.Precision, Adapter?.Pass, _config.Packing == RowPacking.Documents);

    /// <summary>
    /// The forward part before any rewrite and in float32, of the base where there is an adapter, a row one document: loss and logits, parameters as inputs.
    /// </summary>
    /// <exception cref="HaloException">There is no loss.</exception>
    public SourceGraph Forward()
    {
        var source = Folder is null ? Training(FloatPrecision.Fp32, adapters: null, packs: false) : Built(FloatPrecision.Fp32, packs: false);
        var model = EvaluationGraph.Of(source.Model);
        var run = PassManager.Run(model, [.. Pipelines.Parse(Pipelines.Cleanup), new ConvertPrecision(FloatPrecision.Fp32)],
            new PassOptions { Evaluator = new OnnxEvaluator() });
        Ledger.Append(model, run, source.InputSha256);
        return source;
    }

    /// <summary>A loss, and the gradient of something.</summary>
    public static bool IsTrainingGraph(Graph graph) => graph.Outputs.Any(o => o.Name == TrainingNames.Loss)
        && graph.Outputs.Any(o => o.Name.StartsWith(TrainingNames.GradientPrefix, StringComparison.Ordinal));

    private SourceGraph Training(FloatPrecision precision, AddAdapters? adapters, bool packs)
    {
        if (!_training.TryGetValue((precision, adapters is not null, packs), out var made))
            _training.Add((precision, adapters is not null, packs), made = Make(precision, adapters, packs));
        if (packs)
            RequireDocuments(made.Model.Graph, _config.Model, isForward: _file is null || !IsTrainingGraph(_file.Model.Graph));
        return made.Copy();
    }

    /// <summary>Checks that a training graph tells the documents of a row apart.</summary>
    /// <param name="graph">The training graph.</param>
    /// <param name="name">What it was made of.</param>
    /// <param name="isForward">That had no gradient.</param>
    /// <exception cref="HaloException">It does not.</exception>
    internal static void RequireDocuments(Graph graph, string name, bool isForward)
    {
        if (new[] { TrainingNames.PositionIds, TrainingNames.DocumentIds }.All(name => graph.Inputs.Any(i => i.Name == name)))
            return;
        throw new HaloException("pack", name,
            $"inputs '{TrainingNames.PositionIds}' and '{TrainingNames.DocumentIds}', or a forward graph whose attention canonicalize knows, which is given them",
            isForward ? "a forward graph of another attention" : "a training graph whose rows are one document each",
            "Leave packing out, or give the model's forward graph or Hugging Face folder.");
    }

    private SourceGraph Make(FloatPrecision precision, AddAdapters? adapters, bool packs)
    {
        if (_file is null)
        {
            var forward = Built(precision, packs);
            return SourceGraph.Built(forward.Model, Pipelines.Differentiate(adapters: adapters), forward.InputSha256);
        }
        if (IsTrainingGraph(_file.Model.Graph))
        {
            var adapt = new AdaptInputs(KeepPositions: true);
            if (adapters is not null)
            {
                var model = _file.Model.Clone();
                EvaluationGraph.DropGradients(model);
                return SourceGraph.Built(model, [.. Pipelines.Parse(Pipelines.Cleanup), adapt, new ConvertPrecision(precision, KeepsParameters(precision)),
                    .. Pipelines.Adapt(adapters)], _file.InputSha256);
            }
            if (precision != FloatPrecision.Fp32)
            {
                return SourceGraph.Built(_file.Model.Clone(),
                    [.. Pipelines.Parse(Pipelines.Cleanup), adapt, new ConvertPrecision(precision, KeepsParameters(precision))], _file.InputSha256);
            }
            return _file.Model.Graph.Inputs.Any(i => i.Type == ElementType.Int32) ? SourceGraph.Built(_file.Model.Clone(), [adapt], _file.InputSha256) : _file;
        }
        using var checkpoint = CheckpointReader.Open(StartingFiles.Weights(_config));
        var (batch, sequence) = Sizes(_file.Model.Graph);
        var settings = new GradientSettings(batch, sequence, precision, KeepParameters: KeepsParameters(precision), Adapters: adapters, Packs: packs);
        return SourceGraph.Built(_file.Model.Clone(), Pipelines.Gradient(settings),
            _file.InputSha256, new PassOptions { Checkpoint = SourceGraph.TensorsOf(checkpoint) });
    }

    /// <summary>Whether parameters and gradients stay float32 in a graph that computes in this type.</summary>
    private bool KeepsParameters(FloatPrecision precision) => precision == FloatPrecision.Fp32 || _config.States == StatePrecision.Fp32;

    /// <summary>The forward graph of the folder, with parameters of the type that the run keeps.</summary>
    private SourceGraph Built(FloatPrecision precision, bool packs)
    {
        if (!_forward.TryGetValue((precision, packs), out var built))
        {
            var model = Folder!.Build(_config.MicroBatchSize, _config.SequenceLength, precision.Type(),
                KeepsParameters(precision) ? ElementType.Float : precision.Type(), packs);
            _forward.Add((precision, packs), built = new SourceGraph(model, null, GraphRewriter.Sha256(Folder.ConfigPath)));
        }
        return built.Copy();
    }

    private (long Batch, long Sequence) Sizes(Graph graph)
    {
        var tokens = graph.Inputs.FirstOrDefault(i => i.Name == TrainingNames.InputIds)?.Shape;
        var (rows, length) = tokens is { Rank: 2 } ? (tokens[0].Size, tokens[1].Size) : (null, null);
        return (_config.MicroBatchSize ?? rows ?? HuggingFaceSource.DefaultBatch, _config.SequenceLength ?? length ?? DefaultSequence());
    }

    private long DefaultSequence() =>
        HuggingFaceFolder.Find(StartingFiles.Companions(_config), "config.json") is { } path
            ? Math.Min(HuggingFaceSource.DefaultSequence, DecoderConfig.Load(path).MaxPositions)
            : HuggingFaceSource.DefaultSequence;
}
