using Halo.Passes.Weights;

namespace Halo.Runner.Export;

/// <summary>What form a model leaves in.</summary>
public enum ExportTarget
{
    /// <summary>An inference folder: model.onnx with a cache, genai_config.json, tokenizer.</summary>
    Onnx,

    /// <summary>A folder that Transformers loads.</summary>
    Hf,
}

/// <summary>What <c>halo export</c> is asked for.</summary>
/// <param name="Source">A run, an artifact or a Hugging Face folder.</param>
/// <param name="Output">The folder to write.</param>
public sealed record ExportSettings(string Source, string Output)
{
    public ExportTarget To { get; init; }

    /// <summary>How weights are stored. For a Hugging Face folder float32, bfloat16, float16, or null for the type of its config.json.</summary>
    public WeightType? Weights { get; init; }

    /// <summary>Fold rotations into the weights before they are rounded.</summary>
    public bool Rotate { get; init; }

    /// <summary>Round weights so that the outputs of each layer stay near over calibration rows (GPTQ).</summary>
    public bool Calibrate { get; init; }

    /// <summary>What int8 and int4 weights are multiplied by; null is float32 but for the head of int4.</summary>
    public ActivationFormat? Activations { get; init; }

    /// <summary>Chat rows to calibrate over; null lets the model write rows itself.</summary>
    public string? CalibrationData { get; init; }

    /// <summary>Chat rows to compare over; null takes the validation file of a run.</summary>
    public string? Data { get; init; }

    /// <summary>Rows that also go through the cache; 0 leaves the comparison of prompts out.</summary>
    public int Prompts { get; init; } = 8;

    /// <summary>Instead of the bound that the type of weights has.</summary>
    public double? MinAgreement { get; init; }

    /// <summary>Nats; instead of the bound that the type of weights has.</summary>
    public double? MaxDivergence { get; init; }

    /// <summary>Threads of calibration and comparison; 0 is one for each core.</summary>
    public int Threads { get; init; }

    /// <summary>The bounds of the comparison.</summary>
    public ParityBounds BoundsOf(WeightType weights)
    {
        var bounds = ParityBounds.Of(weights);
        return bounds with { Agreement = MinAgreement ?? bounds.Agreement, Divergence = MaxDivergence ?? bounds.Divergence };
    }
}
