using Halo.Ir;
using Halo.Models.Json;

namespace Halo.Models.HuggingFace;

/// <summary>The numbers of a decoder's <c>config.json</c>, checked. Sizes are in elements, contexts in tokens.</summary>
public sealed record DecoderConfig
{
    /// <summary>How its graph is built, and what it is called elsewhere.</summary>
    public DecoderFamily Family { get; init; } = DecoderFamily.All[0];

    public required int HiddenSize { get; init; }
    public required int IntermediateSize { get; init; }
    public required int Layers { get; init; }
    public required int Heads { get; init; }
    public required int KeyValueHeads { get; init; }
    public required int HeadDim { get; init; }
    public required int VocabularySize { get; init; }
    public required int MaxPositions { get; init; }
    public required double RopeTheta { get; init; }
    public required double RmsNormEpsilon { get; init; }
    public required ElementType DType { get; init; }

    /// <summary>Null where frequencies are not scaled.</summary>
    public RopeScaling? RopeScaling { get; init; }

    /// <summary>Whether the output layer shares the embedding's weight.</summary>
    public bool TieWordEmbeddings { get; init; }

    /// <summary>Biases of q, k, v and o.</summary>
    public bool AttentionBias { get; init; }

    /// <summary>Biases of q, k and v, and with <see cref="AttentionBias"/> of o.</summary>
    public bool HasQueryBias => AttentionBias || Family.HasQueryBias;
    public bool MlpBias { get; init; }

    /// <summary>Tokens that a token sees, itself among them, layer by layer, 0 for all before it; empty where no layer has a window.</summary>
    public IReadOnlyList<int> Windows { get; init; } = [];

    /// <summary>Layer by layer whether queries and keys are rotated; empty where they are in all.</summary>
    public IReadOnlyList<bool> Rotated { get; init; } = [];

    /// <summary>Channels of a head that are rotated, its first ones.</summary>
    public int RotaryDim { get => field == 0 ? HeadDim : field; init; }

    /// <summary>The longest sequence: beyond the positions of pre-training only where frequencies follow the length.</summary>
    public int LongestSequence => RopeScaling is { Type: RopeScaling.Dynamic } s ? (int)Math.Min(int.MaxValue, s.Factor * MaxPositions) : MaxPositions;

    /// <summary>
    /// Positions that a cache serves: with longrope those of the original context, as beyond it cached keys would have been turned by other frequencies.
    /// </summary>
    public int CachedPositions => RopeScaling is { Type: RopeScaling.LongRope } s ? Math.Min(MaxPositions, s.OriginalContext) : MaxPositions;
    public int? BosTokenId { get; init; }

    /// <summary>Any of these ends a generation.</summary>
    public IReadOnlyList<int> EosTokenIds { get; init; } = [];
    public int? PadTokenId { get; init; }

    /// <summary>
    /// Reads <c>config.json</c>, or the one in a folder; of Transformers 4 (rope_theta, rope_scaling, torch_dtype) or 5 (rope_parameters, dtype).
    /// Where both are there and disagree, it is an error.
    /// </summary>
    /// <exception cref="HaloException">Missing, damaged, of no family here, or with settings that no graph here honours.</exception>
    public static DecoderConfig Load(string folderOrFile)
    {
        var path = Directory.Exists(folderOrFile) ? Path.Combine(folderOrFile, "config.json") : folderOrFile;
        using var reader = JsonFields.Open("read-config", path);
        var family = DecoderFamily.Of(reader);
        return DecoderConfigParser.Parse(reader, family);
    }
}
