using Halo.Passes;
using Halo.Passes.Infra;
using Halo.Runner.Training;

namespace Halo.Runner.Artifacts;

/// <summary>What a config names as its model, made a training graph: the one place that tells folders from graphs.</summary>
public static class TrainingGraphSource
{
    /// <summary>Runs a pipeline over the config's training graph; a graph that has no gradient gets it first.</summary>
    /// <exception cref="HaloException">Folder, graph or sizes are not right.</exception>
    public static RewrittenGraph Rewrite(TrainConfig config, IReadOnlyList<IGraphPass> passes)
    {
        if (Folder(config) is { } folder)
        {
            return GraphRewriter.Rewrite(folder.Build(config.MicroBatchSize, config.SequenceLength), GraphRewriter.Sha256(folder.ConfigPath),
                [new BuildGradient(), .. passes]);
        }
        return GraphRewriter.Rewrite(config.Model, passes);
    }

    /// <summary>The config's model as a Hugging Face folder; null where it is a graph.</summary>
    /// <exception cref="HaloException">Another folder.</exception>
    public static HuggingFaceSource? Folder(TrainConfig config) => Directory.Exists(config.Model) ? HuggingFaceSource.Open(config.Model) : null;

    /// <summary>The weights that a config names, or those that come with its model.</summary>
    /// <exception cref="HaloException">Neither.</exception>
    public static string Weights(TrainConfig config) => config.Weights ?? Folder(config)?.Folder
        ?? throw new HaloException("prepare", "weights", "a safetensors file or folder", "none", "Give --weights; a graph has none of its own.");
}
