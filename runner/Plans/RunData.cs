using Halo.Models.Chat;
using Halo.Models.HuggingFace;
using Halo.Models.Tokenizers;
using Halo.Runner.Data;
using Halo.Runner.Training.Engine;

namespace Halo.Runner.Plans;

/// <summary>Tokenizer and rows of a run, checked against the model they are for.</summary>
public sealed class RunData
{
    private readonly string _config;
    private readonly DecoderConfig _model;
    private readonly ChatTokenizer _tokenizer;
    private readonly Dictionary<string, ChatDataset> _whole = [];
    private TrainingInterface? _interface;

    /// <param name="config">config.json or its folder.</param>
    /// <param name="tokenizerPath">tokenizer.json or its folder.</param>
    /// <exception cref="HaloException">Tokenizer and model do not fit.</exception>
    public RunData(string config, string tokenizerPath)
    {
        (_config, _model) = (config, DecoderConfig.Load(config));
        var tokenizer = HfTokenizer.Load(tokenizerPath);
        if (tokenizer.VocabularySize > _model.VocabularySize)
        {
            throw new HaloException("load-data", tokenizerPath, $"a tokenizer of at most {_model.VocabularySize} ids, the model's vocabulary",
                $"{tokenizer.VocabularySize}",
                "Give the tokenizer that the model was trained with.");
        }
        _tokenizer = new ChatTokenizer(tokenizer);
    }

    /// <summary>Encodes a file before its graph is there, so that what is wrong with it is said first; null: no file.</summary>
    /// <exception cref="HaloException">A row is not right.</exception>
    public void Read(string? path)
    {
        if (path is not null && !_whole.ContainsKey(path))
            _whole.Add(path, ChatDataset.Load(path, _tokenizer, int.MaxValue));
    }

    /// <summary>Takes the graph whose rows these become.</summary>
    /// <exception cref="HaloException">Its sequence is longer than the model allows.</exception>
    public RunData For(TrainingInterface @interface)
    {
        _interface = @interface.Sequence <= _model.MaxPositions ? @interface : throw new HaloException("load-data", "the training graph",
            $"a sequence of at most {_model.MaxPositions} tokens (max_position_embeddings of {_config})", $"{@interface.Sequence}",
            "Export the graph at a shorter sequence.");
        return this;
    }

    public HfTokenizer Tokenizer => _tokenizer.Tokenizer;

    public int PadId => Tokenizer.PadId ?? Tokenizer.EosId ?? 0;

    /// <summary>The rows of a file, cut at the graph's sequence.</summary>
    /// <exception cref="HaloException">A row is not right, or none is left.</exception>
    public ChatDataset Load(string path)
    {
        Read(path);
        return _whole[path].CutAt(_interface!.Sequence);
    }

    public Batcher ForTraining(ChatDataset rows, int batchSize, int seed) =>
        Batcher.ForTraining(rows.Rows, batchSize, _interface!.Layout(PadId), (ulong)seed);

    public Batcher ForEvaluation(ChatDataset rows, int? batchSize = null) =>
        Batcher.ForEvaluation(rows.Rows, _interface!.Layout(PadId), batchSize);
}
