using Halo.Models.HuggingFace;
using Halo.Models.Tokenizers;
using Halo.Runner.Data;
using Halo.Runner.Generation;

namespace Halo.Runner.Export;

/// <summary>The rows over which an export is compared.</summary>
/// <param name="What">What the prompts are, for a reader.</param>
/// <param name="Prompts">A few rows, which go through the cache as well.</param>
/// <param name="Valid">All rows of the validation file; null where there is none.</param>
internal sealed record ComparedRows(string What, IReadOnlyList<TokenizedRow> Prompts, IReadOnlyList<TokenizedRow>? Valid)
{
    private const int WrittenTokens = 64;
    private const ulong Seed = 2501;

    /// <summary>Rows of chat data, cut at the graph's length.</summary>
    /// <param name="path">As <see cref="DataFiles"/> takes it.</param>
    /// <param name="source">Of the model: its tokenizer, and how a run's rows are read.</param>
    /// <param name="sequence">T.</param>
    /// <param name="prompts">How many of them go through the cache.</param>
    /// <exception cref="HaloException">A defect of the file, or a tokenizer without a chat template.</exception>
    public static ComparedRows OfData(string path, InferenceSource source, int sequence, int prompts)
    {
        var data = ChatDataset.Load(path, HfTokenizer.Load(source.Companions), source.Rows, sequence);
        return new ComparedRows($"the first {Math.Min(prompts, data.Rows.Count)} rows of {Path.GetFileName(path)}", [.. data.Rows.Take(prompts)], data.Rows);
    }

    /// <summary>Rows that the model writes itself, drawn at temperature 1 from its BOS token, where there is no data.</summary>
    /// <param name="decoder">Who writes.</param>
    /// <param name="config">Of the model.</param>
    /// <param name="sequence">T of the graph that it is compared with.</param>
    /// <param name="prompts">How many rows.</param>
    /// <param name="tokens">The longest row, without BOS.</param>
    /// <param name="seed">Of the draws; row n of one seed is not that of another.</param>
    /// <exception cref="HaloException">The model has no BOS token.</exception>
    public static ComparedRows Written(IDecoder decoder, DecoderConfig config, int sequence, int prompts, int tokens = WrittenTokens, ulong seed = Seed)
    {
        var bos = config.BosTokenId ?? throw new HaloException("export", "bos_token_id of config.json", "a token that begins a text", "none",
            "Give chat rows with --data, and with --calibration-data where --calibrate is given.");
        var length = Math.Min(tokens, sequence - 1);
        var texts = new Generator(decoder, new SamplingSettings { Temperature = 1, Seed = seed }, new HashSet<int>(), length)
            .Generate([.. Enumerable.Repeat((int[])[bos], prompts)]);
        return new ComparedRows($"{prompts} rows of {length + 1} tokens that the model wrote (temperature 1, seed {seed})",
            [.. texts.Select(t => Row([bos, .. t.Ids]))], Valid: null);
    }

    private static TokenizedRow Row(int[] ids) => new(ids, [.. ids.Select(_ => (byte)1)]);
}
