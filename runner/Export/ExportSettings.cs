using Halo.Passes.Canonical.Precision;
using Halo.Runner.Export;

namespace Halo.Training;

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

    /// <summary>What fp8, int8 and int4 weights are multiplied by; null is float32, but for the head of int4, which meets activations rounded to 8 bits.</summary>
    public ActivationType? Activations { get; init; }

    /// <summary>Chat rows to calibrate over; null takes the first of a run's training file, or rows that the model writes itself where there is none.</summary>
    public string? CalibrationData { get; init; }

    /// <summary>Chat rows to compare over; null takes the validation file of a run.</summary>
    public string? Data { get; init; }

    /// <summary>An adapter's folder, which is merged; null for that of the source, or none.</summary>
    public string? Adapter { get; init; }

    /// <summary>Merge an adapter and report what becomes of it.</summary>
    public bool Merge { get; init; }

    /// <summary>Leave an adapter beside the base, as a file of its own that ONNX Runtime loads when it runs.</summary>
    public bool Beside { get; init; }

    /// <summary>The least share of the adapter's effect on the loss that may remain; null is 0.95, of int4 0.85.</summary>
    public double? MinEffect { get; init; }

    /// <summary>Rows that also go through the cache; 0 leaves the comparison of prompts out.</summary>
    public int Prompts { get; init; } = 8;

    /// <summary>Instead of the bound that the type of weights has.</summary>
    public double? MinAgreement { get; init; }

    /// <summary>Nats; instead of the bound that the type of weights has.</summary>
    public double? MaxDivergence { get; init; }

    /// <summary>Threads of calibration and comparison; 0 is one for each core.</summary>
    public int Threads { get; init; }

    /// <summary>Throws where the settings contradict each other, or one is out of its range.</summary>
    /// <exception cref="HaloException">They do.</exception>
    public void Check()
    {
        if (Prompts < 0)
            throw Refused("--prompts", "0 or more rows", $"{Prompts}", "Give another number.");
        if (Threads < 0)
            throw Refused("--threads", "0 or more threads", $"{Threads}", "Leave it out for one for each core.");
        if (MinAgreement is { } agreement && !(agreement >= 0 && agreement <= 1))
            throw Refused("--min-agreement", "a share from 0 to 1", $"{agreement}", "Give another number, or leave it out.");
        if (MaxDivergence is { } divergence && !(divergence >= 0))
            throw Refused("--max-kl", "0 or more nats", $"{divergence}", "Give another number, or leave it out.");
        if (Adapter is not null && !Merge && !Beside)
            throw Refused("--adapter", "--merge with it, or --beside", "an adapter alone", "Add one of the two, or leave the adapter out.");
        if (Beside && (Merge || Rotate || Calibrate || To == ExportTarget.Hf))
        {
            throw Refused("--beside", "the base as it is, as an ONNX folder",
                Merge ? "--merge" : Rotate ? "--rotate, which folds norms into what adapters read" : Calibrate ? "--calibrate" : "--to hf", "Leave one of the two out.");
        }
        if (MinEffect is { } effect && !(effect is >= 0 and <= 1 && Merge))
            throw Refused("--min-effect", "a share from 0 to 1, with --merge", $"{effect}", "Give another number, or leave it out.");
        if (To == ExportTarget.Hf && Rotate)
        {
            throw Refused("--rotate", "weights as they are for a Hugging Face folder", "rotated ones",
                "Leave it out, or export with --to onnx.");
        }
        if (CalibrationData is not null && !Calibrate)
            throw Refused("--calibration-data", "--calibrate beside it", "none", "Add --calibrate, or leave the data out.");
        var named = Weights?.ToString().ToLowerInvariant() ?? "none named";
        if (Calibrate && Weights is not (WeightType.Fp8 or WeightType.Int8 or WeightType.Int4))
        {
            throw Refused("--calibrate", "weights that are rounded to codes: fp8, int8 or int4", named,
                "Name one with --weights, or leave --calibrate out.");
        }
        if (Activations is not null && Weights is not (WeightType.Fp8 or WeightType.Int8 or WeightType.Int4))
            throw Refused("--activations", "fp8, int8 or int4 as --weights beside it", named, "Name one of them, or leave it out.");
        if (Activations == ActivationType.Int8 && Weights == WeightType.Fp8)
            throw Refused("--activations", "float or fp16 for fp8 weights, which no operator multiplies by 8 bits", "int8", "Name one of them, or leave it out.");
        if (To == ExportTarget.Hf && Weights is not (null or WeightType.Fp32 or WeightType.Bf16 or WeightType.Fp16))
        {
            throw Refused("--weights", "fp32, bf16 or fp16 for a Hugging Face folder", named,
                "Name one of them, or export with --to onnx.");
        }
        if (To == ExportTarget.Onnx && Weights is WeightType.Bf16)
        {
            throw Refused("--weights", "fp32, fp16, fp8, int8 or int4: ONNX Runtime's CPU has no bfloat16 arithmetic", named,
                "Name one of them, or export with --to hf.");
        }
    }

    /// <summary>The float type of the exported graph.</summary>
    internal FloatPrecision PrecisionOf(WeightType weights) => ActivationTypes.PrecisionOf(weights, Activations);

    /// <summary>The bounds of the comparison.</summary>
    internal ParityBounds BoundsOf(WeightType weights)
    {
        var bounds = ParityBounds.Of(weights);
        return bounds with { Agreement = MinAgreement ?? bounds.Agreement, Divergence = MaxDivergence ?? bounds.Divergence };
    }

    private static HaloException Refused(string option, string expected, string found, string advice) => new("export", option, expected, found, advice);
}
