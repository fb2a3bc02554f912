using Halo.Analysis;
using Halo.CustomOps;
using Halo.Io;
using Halo.Ir;
using Halo.Models.Adapters;
using Halo.Models.HuggingFace;
using Halo.Models.Tokenizers;
using Halo.Models.Weights;
using Halo.Runner.Artifacts;
using Halo.Runner.Data;
using Halo.Runner.Generation;
using Halo.Runner.Runs;
using Halo.Runner.Sources;
using Halo.Runner.Training;
using Halo.Serialization;

namespace Halo.Runner.Export;

/// <summary>A model that can be exported or can generate: its forward graph, weights, config and tokenizer.</summary>
/// <remarks>
/// A run gives the weights of its newest checkpoint (float32 masters), an artifact those it starts from, a Hugging Face folder its own. The graph is the
/// one that was trained, as it was before the rewrite; a Hugging Face folder's is built.
/// </remarks>
internal sealed class InferenceSource : IDisposable
{
    private const string Sources = "a run, an artifact, or a Hugging Face folder with a config.json";

    private readonly Func<Model> _forward;
    private (AdapterLayers Layers, IReadOnlyDictionary<string, SafetensorsTensor> Tensors, IDisposable File)? _adapter;

    private InferenceSource(string path, string companions, CheckpointReader weights, Func<Model> forward)
    {
        (Path, Companions, Weights, _forward) = (path, companions, weights, forward);
        Config = DecoderConfig.Load(companions);
    }

    /// <summary>What was named.</summary>
    public string Path { get; }

    /// <summary>The folder of config.json and the tokenizer's files.</summary>
    public string Companions { get; }

    public DecoderConfig Config { get; }

    /// <summary>Those of the base where there is an adapter; <see cref="Tensors"/> has it merged into them.</summary>
    public CheckpointReader Weights { get; }

    /// <summary>The values of the forward graph's parameters.</summary>
    public IReadOnlyDictionary<string, Tensor> Tensors =>
        _adapter is var (layers, tensors, _) ? AdapterMerge.Of(Weights, layers, tensors) : SourceGraph.TensorsOf(Weights);

    /// <summary>The validation file of a run; null for others, or where it had none.</summary>
    public string? Valid { get; private init; }

    /// <summary>How the rows of a run are read.</summary>
    public RowSettings Rows { get; private init; } = new();

    /// <summary>The training file of a run; null for others.</summary>
    public string? Train { get; private init; }

    /// <summary>A run, an artifact or a Hugging Face folder.</summary>
    /// <param name="path">Which of them.</param>
    /// <param name="expected">What a message says that the path should be.</param>
    /// <exception cref="HaloException">None of them, or a damaged one.</exception>
    public static InferenceSource Open(string path, string expected = Sources)
    {
        path = System.IO.Path.GetFullPath(path);
        if (RunFolder.Is(path))
        {
            using var run = RunFolder.Open(path);
            var config = run.ReadConfig();
            var trained = run.OpenArtifact(config);
            return OfArtifact(path, trained, TrainedWeights(run, config), config);
        }
        if (TrainingArtifact.Is(path))
        {
            var artifact = TrainingArtifact.Open(path);
            return OfArtifact(path, artifact, newest: null, config: null);
        }
        if (OwnedFolder.KindOf(path) == InferenceFolder.Kind)
            throw new HaloException("model", path, expected, "an inference folder of halo export", "Name the model that it was made of.");
        if (!HuggingFaceSource.Is(path))
        {
            throw new HaloException("model", path, expected,
                Directory.Exists(path) ? "another folder" : File.Exists(path) ? "a file" : "no such folder",
                System.IO.Path.Exists(path) ? "Name the output of halo train or halo prepare, or a model's folder." : HuggingFaceSource.MissingAdvice(path));
        }
        var folder = HuggingFaceSource.Open(path);
        folder.CheckWeights(path, _ => { });
        return new InferenceSource(path, path, CheckpointReader.Open(path), () => folder.Build(batch: null, sequence: null));
    }

    /// <summary>The weights of a run's newest checkpoint, or of its best one where it takes that; null where none was saved yet and the run has its starting weights.</summary>
    /// <exception cref="HaloException">It is damaged, or there is none any more.</exception>
    public static CheckpointReader? TrainedWeights(RunFolder run, TrainConfig config)
    {
        if (config.Take == TakenModel.Best && new Checkpoints(run.Checkpoints, keep: 1).OpenBestWeights() is var (best, at))
        {
            Console.Error.WriteLine($"{run.Path}: the weights of step {at}, which has the least validation loss");
            return best;
        }
        var saved = run.Record.NewestCheckpoint; // read first: a trainer may save more meanwhile
        if (new Checkpoints(run.Checkpoints, keep: 1).OpenNewestWeights() is not var (weights, step))
            return saved is { } lost ? throw run.LostCheckpoint(lost) : null;
        if (saved > step)
            Console.Error.WriteLine(run.MissedCheckpoint(saved.Value, step));
        return weights;
    }

    /// <exception cref="HaloException">There is none, or one of another model.</exception>
    public HfTokenizer OpenTokenizer()
    {
        var tokenizer = HfTokenizer.Load(Companions);
        if (tokenizer.VocabularySize <= Config.VocabularySize)
            return tokenizer;
        throw new HaloException("model", System.IO.Path.Combine(Companions, "tokenizer.json"), $"at most {Config.VocabularySize} ids, the model's vocabulary",
            $"{tokenizer.VocabularySize}", "Give the tokenizer that the model was trained with.");
    }

    /// <summary>A fresh copy of the forward graph: float32, parameters as inputs, outputs loss and logits, static (B, T).</summary>
    public Model Forward()
    {
        return _forward();
    }

    /// <summary>The adapter that <see cref="Tensors"/> has; null where there is none.</summary>
    public (AdapterLayers Layers, IReadOnlyDictionary<string, SafetensorsTensor> Tensors)? Adapter =>
        _adapter is var (layers, tensors, _) ? (layers, tensors) : null;

    /// <summary>Takes an adapter into the weights.</summary>
    /// <param name="folder">PEFT's.</param>
    /// <exception cref="HaloException">The source has one already, or it is not for this base.</exception>
    public void Adapt(string folder)
    {
        if (_adapter is not null)
            throw new HaloException("adapter", Path, "a model without an adapter of its own", "a run of one", "Leave --adapter out.");
        var adapter = AdapterFolder.Open(folder, Weights);
        _adapter = (adapter.Layers, adapter.Tensors, adapter);
    }

    public void Dispose()
    {
        Weights.Dispose();
        _adapter?.File.Dispose();
    }

    private static InferenceSource OfArtifact(string path, TrainingArtifact artifact, CheckpointReader? newest, TrainConfig? config)
    {
        var weights = artifact.OpenWeights();
        var adapter = artifact.OpenAdapter(weights);
        if (adapter is null && newest is not null)
            weights.Dispose();
        var read = adapter is null ? newest ?? weights : weights;
        var source = new InferenceSource(path, artifact.Checkpoint, read, () => OnnxReader.Read(artifact.ForwardModel, HaloOperators.Catalogue))
        { Valid = config?.Valid, Train = config?.Data, Rows = config is null ? new() : config.RowSettings() };
        if (adapter is null)
            return source;
        source._adapter = newest is null ? (adapter.Layers, adapter.Tensors, adapter)
            : (adapter.Layers, newest.Tensors.Concat(adapter.Tensors.Where(t => AdapterNames.IsPlaces(t.Key))).ToDictionary(StringComparer.Ordinal),
                new Files(newest, adapter)); // no checkpoint has the places
        return source;
    }

    private sealed class Files(params IDisposable[] files) : IDisposable
    {
        public void Dispose()
        {
            foreach (var file in files)
                file.Dispose();
        }
    }
}
