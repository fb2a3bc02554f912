using Halo.Models.Chat;
using Halo.Models.HuggingFace;
using Halo.Models.Tokenizers;
using Halo.Runner.Data;
using Halo.Runner.Training.Engine;

namespace Halo.Runner.Training.Runs;

/// <summary>Tokenizer and rows of a run, checked against the model they are for.</summary>
public sealed class RunData
{
    private readonly ChatTokenizer _tokenizer;
    private readonly TrainingInterface _interface;
    private readonly LlamaConfig _model;

    /// <param name="modelFolder">config.json and the tokenizer's files.</param>
    /// <param name="interface">The training graph's.</param>
    /// <exception cref="HaloException">The graph's sequence is longer than the model allows, or tokenizer and model do not fit.</exception>
    public RunData(string modelFolder, TrainingInterface @interface) : this(modelFolder, modelFolder, @interface) { }

    /// <summary>As above, with config.json and tokenizer.json (or their folders) in two places.</summary>
    public RunData(string config, string tokenizerPath, TrainingInterface @interface)
    {
        _model = LlamaConfig.Load(config);
        _interface = @interface;
        if (@interface.Sequence > _model.MaxPositions)
        {
            throw new HaloException("load-data", "the training graph",
                $"a sequence of at most {_model.MaxPositions} tokens (max_position_embeddings of {config})",
                $"{@interface.Sequence}", "Export the graph at a shorter sequence.");
        }
        var tokenizer = HfTokenizer.Load(tokenizerPath);
        if (tokenizer.VocabularySize > _model.VocabularySize)
        {
            throw new HaloException("load-data", tokenizerPath, $"a tokenizer of at most {_model.VocabularySize} ids, the model's vocabulary",
                $"{tokenizer.VocabularySize}",
                "Give the tokenizer that the model was trained with.");
        }
        _tokenizer = new ChatTokenizer(tokenizer);
    }

    public HfTokenizer Tokenizer => _tokenizer.Tokenizer;

    public int PadId => Tokenizer.PadId ?? Tokenizer.EosId ?? 0;

    /// <summary>Ids that end an answer.</summary>
    public IReadOnlySet<int> StopIds => new HashSet<int>([.. _model.EosTokenIds, .. Tokenizer.EosId is { } eos ? [eos] : Array.Empty<int>()]);

    public ChatDataset Load(string path) => ChatDataset.Load(path, _tokenizer.Encode, _interface.Sequence);

    public int[] Prompt(IReadOnlyList<ChatMessage> turns) => _tokenizer.EncodePrompt(turns);

    public Batcher ForTraining(ChatDataset rows, int batchSize, int seed) =>
        Batcher.ForTraining(rows.Rows, batchSize, _interface.Rows, _interface.Sequence, PadId, (ulong)seed);

    public Batcher ForEvaluation(ChatDataset rows, int? batchSize = null) =>
        Batcher.ForEvaluation(rows.Rows, _interface.Rows, _interface.Sequence, PadId, batchSize);
}
