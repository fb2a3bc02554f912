using Halo.Models.Chat;
using Halo.Models.HuggingFace;
using Halo.Models.Tokenizers;
using Halo.Runner.Data;
using Halo.Runner.Training.Engine;

namespace Halo.Runner.Plans;

/// <summary>Tokenizer and rows of a run, checked against the model they are for.</summary>
public sealed class RunData
{
    private readonly ChatTokenizer _tokenizer;
    private readonly TrainingInterface _interface;

    /// <param name="config">config.json or its folder.</param>
    /// <param name="tokenizerPath">tokenizer.json or its folder.</param>
    /// <param name="interface">The training graph's.</param>
    /// <exception cref="HaloException">The graph's sequence is longer than the model allows, or tokenizer and model do not fit.</exception>
    public RunData(string config, string tokenizerPath, TrainingInterface @interface)
    {
        var model = LlamaConfig.Load(config);
        _interface = @interface;
        if (@interface.Sequence > model.MaxPositions)
        {
            throw new HaloException("load-data", "the training graph",
                $"a sequence of at most {model.MaxPositions} tokens (max_position_embeddings of {config})",
                $"{@interface.Sequence}", "Export the graph at a shorter sequence.");
        }
        var tokenizer = HfTokenizer.Load(tokenizerPath);
        if (tokenizer.VocabularySize > model.VocabularySize)
        {
            throw new HaloException("load-data", tokenizerPath, $"a tokenizer of at most {model.VocabularySize} ids, the model's vocabulary",
                $"{tokenizer.VocabularySize}",
                "Give the tokenizer that the model was trained with.");
        }
        _tokenizer = new ChatTokenizer(tokenizer);
    }

    public HfTokenizer Tokenizer => _tokenizer.Tokenizer;

    public int PadId => Tokenizer.PadId ?? Tokenizer.EosId ?? 0;

    public ChatDataset Load(string path) => ChatDataset.Load(path, _tokenizer, _interface.Sequence);

    public Batcher ForTraining(ChatDataset rows, int batchSize, int seed) =>
        Batcher.ForTraining(rows.Rows, batchSize, _interface.Layout(PadId), (ulong)seed);

    public Batcher ForEvaluation(ChatDataset rows, int? batchSize = null) =>
        Batcher.ForEvaluation(rows.Rows, _interface.Layout(PadId), batchSize);
}
