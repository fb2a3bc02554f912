using System.CommandLine;
using System.Globalization;
using Halo.Runner.Data;
using Halo.Runner.Export;

namespace Halo.Runner.Cli;

/// <summary><c>halo export</c>: a trained model in, a folder that serves it out.</summary>
internal static class ExportVerb
{
    public static Command Command()
    {
        var source = new Argument<string>("RUN|ARTIFACT|DIR")
        {
            Description = "A run (its newest checkpoint), an artifact of halo prepare, or a Hugging Face folder.",
        };
        var output = new Option<string>("--output", "-o")
        {
            Description = "The folder to write. One that an export of the same kind wrote is replaced.",
            Required = true,
            HelpName = "DIR",
        };
        var to = new Option<string>("--to")
        {
            Description = "onnx: model.onnx with a key/value cache, in the form ONNX Runtime GenAI loads. hf: a Hugging Face folder.",
            DefaultValueFactory = _ => "onnx",
            HelpName = "onnx|hf",
        };
        var weights = new Option<string?>("--weights")
        {
            Description = "fp32 (the default), fp16 (activations and cache too), fp8 (E4M3), int8 or int4 (each in blocks of 32). "
                + "For hf: fp32, bf16 or fp16; the default is the type in config.json.",
            HelpName = "fp32|fp16|bf16|fp8|int8|int4",
        };
        var rotate = new Option<bool>("--rotate")
        {
            Description = "Fold Hadamard rotations into the weights before they are rounded (QuaRot): the function is the same, int4 is better.",
        };
        var calibrate = new Option<bool>("--calibrate")
        {
            Description = "For fp8, int8 and int4: round weights so that each layer's outputs over calibration rows stay near (GPTQ).",
        };
        var calibrationData = new Option<string?>("--calibration-data")
        {
            Description = "With --calibrate: chat rows (JSONL) to calibrate over; by default the first 512 of a run's training file, else rows that the "
                + "model writes.",
            HelpName = "FILE",
        };
        var activations = new Option<string?>("--activations")
        {
            Description = "For fp8, int8 and int4: multiply weights by activations as they are in float32 (float) or float16 (fp16: caches and norms too; for "
                + "GPUs, which ONNX Runtime's own CUDA provider wants it on), or rounded to 8 bits (int8; not for fp8), which is less exact and, for int8 "
                + "weights on a CPU, a hundred times as fast. The default is float, but int8 for the head of int4, also with fp16.",
            HelpName = "float|int8|fp16",
        };
        var adapter = new Option<string?>("--adapter")
        {
            Description = "Folder of a LoRA or DoRA adapter (PEFT) of the model; it is merged into the weights, or left beside them, which --merge or --beside "
                + "has to say.",
            HelpName = "DIR",
        };
        var merge = new Option<bool>("--merge")
        {
            Description = "Merge the adapter, or that of a run, and report in merge.json what rounding does to it: the error of each layer's weight and, with "
                + "validation rows, how much of the adapter's effect on the loss remains.",
        };
        var beside = new Option<bool>("--beside")
        {
            Description = "Leave the adapter, or that of a run, beside the base: adapter.onnx_adapter, which ONNX Runtime and its GenAI library load and switch "
                + "when they run; without it model.onnx is the base.",
        };
        var minEffect = new Option<double?>("--min-effect")
        {
            Description = "With --merge: the least share of the adapter's effect on the loss, 0 to 1, that may remain; the default is 0.95, of int4 0.85.",
            HelpName = "SHARE",
        };
        var data = new Option<string?>("--data")
        {
            Description = "Chat rows (JSONL) to compare over; by default the validation file of a run, else rows that the model writes.",
            HelpName = "FILE",
        };
        var prompts = new Option<int>("--prompts")
        {
            Description = "Rows that are compared through the cache too, half of each token by token; 0 leaves this out.",
            DefaultValueFactory = _ => 8,
            HelpName = "N",
        };
        var agreement = new Option<double?>("--min-agreement")
        {
            Description = "Least share of tokens, 0 to 1, at which export and original have the same most likely next one; the default depends on --weights.",
            HelpName = "SHARE",
        };
        var divergence = new Option<double?>("--max-kl")
        {
            Description = "Largest mean KL divergence from the original's distribution; the default depends on --weights.",
            HelpName = "NATS",
        };
        var threads = new Option<int>("--threads") { Description = "Threads of calibration and comparison; 0 is one for each core.", HelpName = "N" };
        var command = new Command("export",
            "Write a model as an ONNX folder that ONNX Runtime serves, or as a Hugging Face folder, with parity.json: how far it is from the graph that "
            + "was trained. Exit code 1 and no folder if it is too far.")
            { source, output, to, weights, rotate, calibrate, calibrationData, activations, adapter, merge, beside, minEffect, data,
            prompts, agreement, divergence, threads };
        command.SetAction(parsed =>
        {
            var settings = new ExportSettings(parsed.GetValue(source)!, Path.GetFullPath(parsed.GetValue(output)!))
            {
                To = Choice<ExportTarget>.Parse("export", "--to", parsed.GetValue(to)!),
                Weights = parsed.GetValue(weights) is { } text ? Choice<WeightType>.Parse("export", "--weights", text) : null,
                Rotate = parsed.GetValue(rotate),
                Calibrate = parsed.GetValue(calibrate),
                Activations = parsed.GetValue(activations) is { } by ? Choice<ActivationType>.Parse("export", "--activations", by) : null,
                CalibrationData = parsed.GetValue(calibrationData),
                Adapter = parsed.GetValue(adapter),
                Merge = parsed.GetValue(merge),
                Beside = parsed.GetValue(beside),
                MinEffect = parsed.GetValue(minEffect),
                Data = parsed.GetValue(data),
                Prompts = parsed.GetValue(prompts),
                MinAgreement = parsed.GetValue(agreement),
                MaxDivergence = parsed.GetValue(divergence),
                Threads = parsed.GetValue(threads),
            };
            Outputs.Check("export", [("--output", settings.Output)],
                [settings.Source, settings.Adapter, .. DataFiles.Named(settings.Data), .. DataFiles.Named(settings.CalibrationData)]);
            var parity = Exporter.Write(settings, Console.Error.WriteLine);
            Console.Error.WriteLine(parity is null ? "not compared (--prompts 0, and no validation data)"
                : Line(parity, settings.BoundsOf(parity.Weights)));
            Console.WriteLine(settings.Output);
            return ExitCode.Done;
        });
        return command;
    }

    /// <summary>What was measured beside its limits, which it kept, or there would be no folder.</summary>
    private static string Line(Parity parity, ParityBounds bounds)
    {
        static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
        var shown = parity.Validation ?? parity.Exported;
        var loss = parity.ForwardLoss is { } forward ? Text($", loss {forward:F4} -> {parity.Validation!.Loss:F4}") : "";
        return Text($"{shown.Positions} tokens: same most likely token {shown.Agreement:P2} (limit {bounds.Agreement:P2}), ")
            + Text($"KL {shown.Divergence:G3} nats (limit {bounds.Divergence:G3}), logits within {shown.Largest:G3}")
            + (bounds.Difference is { } limit ? Text($" (limit {limit:G3})") : "") + $"{loss}: within limits";
    }
}
