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
    public bool AttentionBias { get; init; }
    public bool MlpBias { get; init; }
    public int? BosTokenId { get; init; }

    /// <summary>Any of these ends a generation.</summary>
    public IReadOnlyList<int> EosTokenIds { get; init; } = [];
    public int? PadTokenId { get; init; }

    /// <summary>
    /// Reads <c>config.json</c>, or the one in a folder; of Transformers 4 (rope_theta, rope_scaling, torch_dtype) or 5 (rope_parameters, dtype).
    /// </summary>
    /// <exception cref="HaloException">Missing, damaged, of no family here, or with settings that no graph here honours.</exception>
    public static DecoderConfig Load(string folderOrFile)
    {
        var path = Directory.Exists(folderOrFile) ? Path.Combine(folderOrFile, "config.json") : folderOrFile;
        using var reader = JsonFields.Open("read-config", path);
        var family = DecoderFamily.Of(reader);
        return family.Parse(reader) with { Family = family };
    }
}
