using Halo.Models.HuggingFace;
using Halo.Models.Tokenizers;
using Halo.Runner.Data;
using Halo.Runner.Training;
using Halo.Runner.Training.Engine;

namespace Halo.Runner.Plans;

/// <summary>Tokenizer and rows of a run, checked against the model they are for.</summary>
internal sealed class RunData
{
    /// <summary>Rows of data for each row of the graph that an evaluation packs at a time.</summary>
    private const int PackedTogether = 64;

    private readonly string _config;
    private readonly DecoderConfig _model;
    private readonly HfTokenizer _tokenizer;
    private readonly RowSettings _rows;
    private readonly Dictionary<string, ChatDataset> _whole = [];
    private TrainingInterface? _interface;
    private BatchLayout? _layout;

    /// <param name="config">config.json or its folder.</param>
    /// <param name="tokenizerPath">tokenizer.json or its folder.</param>
    /// <param name="rows">How they are read.</param>
    /// <exception cref="HaloException">Tokenizer and model do not fit.</exception>
    public RunData(string config, string tokenizerPath, RowSettings? rows = null)
    {
        (_config, _model, _rows) = (config, DecoderConfig.Load(config), rows ?? new RowSettings());
        var tokenizer = HfTokenizer.Load(tokenizerPath);
        if (tokenizer.VocabularySize > _model.VocabularySize)
        {
            throw new HaloException("load-data", tokenizerPath, $"a tokenizer of at most {_model.VocabularySize} ids, the model's vocabulary",
                $"{tokenizer.VocabularySize}",
                "Give the tokenizer that the model was trained with.");
        }
        _tokenizer = tokenizer;
    }

    /// <summary>Encodes a file before its graph is there, so that what is wrong with it is said first; null: no file.</summary>
    /// <exception cref="HaloException">A row is not right.</exception>
    public void Read(string? path)
    {
        if (path is not null && !_whole.ContainsKey(path))
            _whole.Add(path, ChatDataset.Load(path, _tokenizer, _rows, int.MaxValue));
    }

    /// <summary>Takes the graph whose rows these become.</summary>
    /// <param name="interface">The graph's.</param>
    /// <param name="packing">What shares a row of it.</param>
    /// <exception cref="HaloException">Its sequence is longer than the model allows.</exception>
    public RunData For(TrainingInterface @interface, RowPacking packing)
    {
        _interface = @interface.Sequence <= _model.MaxPositions ? @interface : throw new HaloException("load-data", "the training graph",
            $"a sequence of at most {_model.MaxPositions} tokens (max_position_embeddings of {_config})", $"{@interface.Sequence}",
            "Export the graph at a shorter sequence.");
        _layout = _interface.Layout(PadId, packing == RowPacking.Documents);
        return this;
    }

    public HfTokenizer Tokenizer => _tokenizer;

    public int PadId => Tokenizer.PadId ?? Tokenizer.EosId ?? 0;

    /// <summary>The rows of a file, cut at the graph's sequence.</summary>
    /// <exception cref="HaloException">A row is not right, or none is left.</exception>
    public ChatDataset Load(string path)
    {
        Read(path);
        return _whole[path].CutAt(_interface!.Sequence);
    }

    /// <summary>The rows of each file that is evaluated.</summary>
    /// <exception cref="HaloException">As <see cref="Load"/>, or a file has a weight.</exception>
    public IEnumerable<(string Name, ChatDataset Rows)> LoadEach(string? data) =>
        data is null ? [] : DataFiles.ForEvaluation(data).Select(file => (file.Name, Load(file.Path)));

    public Batcher ForTraining(ChatDataset rows, int batchSize, int seed) => Batcher.ForTraining(rows.Rows, batchSize, _layout!, (ulong)seed);

    /// <param name="rows">All are evaluated.</param>
    /// <param name="batchSize">Rows laid out together; null: those of a micro-batch, or where rows are packed enough of them to fill some.</param>
    public Batcher ForEvaluation(ChatDataset rows, int? batchSize = null) =>
        Batcher.ForEvaluation(rows.Rows, _layout!, batchSize ?? (_layout!.Packs ? PackedTogether * _layout.Rows : null));
}
