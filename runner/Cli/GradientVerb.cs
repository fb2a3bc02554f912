using System.CommandLine;
using Halo.Io;
using Halo.Ir;
using Halo.Models.Adapters;
using Halo.Models.Weights;
using Halo.Passes.Canonical.Precision;
using Halo.Passes.Infra;
using Halo.Passes.Rewrite;
using Halo.Passes.Training;
using Halo.Runner.Runs;
using Halo.Runner.Sources;
using Halo.Runner.Training;
using Halo.Serialization;

namespace Halo.Runner.Cli;

/// <summary><c>halo gradient</c>: a forward graph or a Hugging Face folder in, a training graph out.</summary>
internal static class GradientVerb
{
    public static Command Command()
    {
        var input = new Argument<string>("FORWARD.onnx|DIR")
        {
            Description = "The forward graph: logits, or a loss, from input_ids and attention_mask. Or a Hugging Face folder, whose graph is built.",
        };
        var output = new Option<string>("--output", "-o") { Description = "The training graph to write.", Required = true };
        var weights = new Option<string?>("--weights")
        {
            Description = "Safetensors file or folder that the graph was exported from: gives parameters their names and layout. "
                + "Without it they keep the graph's, and OUTPUT.safetensors is written.",
        };
        var batch = new Option<long>("--batch") { Description = "Rows of a run.", Required = true };
        var sequence = new Option<long>("--sequence") { Description = "Tokens of a row.", Required = true };
        var precision = new Option<string>("--precision")
        {
            Description = "Type of parameters and products: fp32, bf16 or fp16.",
            DefaultValueFactory = _ => "fp32",
        };
        var raw = new Option<bool>("--raw") { Description = "Differentiate the exported operators without fusing them first." };
        var freeze = new Option<string?>("--freeze") { Description = "Parameters without a gradient: \"PATTERN | PATTERN\" with * and ?." };
        var adapter = new Option<string?>("--adapter")
        {
            Description = "Folder of a LoRA or DoRA adapter (PEFT): its parameters become inputs under their names and have gradients, the model's have none. "
                + "A graph takes --weights with it.",
            HelpName = "DIR",
        };
        var packing = Choice<RowPacking>.Option("--packing", "What shares a row of the graph: none, or documents, which inputs document_ids and position_ids tell apart.");
        var verify = new Option<bool>("--verify") { Description = "Run the graph before and after the passes that differentiate it, and compare." };
        var report = new Option<string?>("--report") { Description = "JSON file to write: parameters, linear layers, what was skipped and why, the passes." };
        var verbose = new Option<bool>("--verbose", "-v") { Description = "Print every rewrite and every skip with its reason." };
        var command = new Command("gradient", "Make a training graph of a forward graph: parameters as inputs, loss and gradients as outputs.")
            { input, output, weights, batch, sequence, precision, raw, freeze, adapter, packing, verify, report, verbose };
        command.SetAction(parsed =>
        {
            foreach (var size in new[] { batch, sequence }.Where(size => parsed.GetValue(size) > int.MaxValue))
                throw new HaloException("gradient", size.Name, $"at most {int.MaxValue}", $"{parsed.GetValue(size)}", "Give a smaller size.");
            var settings = new GradientSettings(parsed.GetValue(batch), parsed.GetValue(sequence),
                Choice<FloatPrecision>.Parse("gradient", "--precision", parsed.GetValue(precision)!), parsed.GetValue(raw),
                parsed.GetValue(freeze) is { } text ? NamePatterns.Parse(text, null) : null,
                Packs: parsed.GetValue(packing) == RowPacking.Documents);
            if (settings is { Packs: true, Raw: true })
            {
                throw new HaloException("gradient", "--packing documents", "a graph whose attention is fused, which is told the documents", "--raw",
                    "Leave one of them out.");
            }
            if (parsed.GetValue(verify) && settings.Precision != FloatPrecision.Fp32)
            {
                throw new HaloException("gradient", "--verify", "--precision fp32", $"--precision {parsed.GetValue(precision)}",
                    "The CPU does not run every operator in 16 bits; verify the float32 graph.");
            }
            return Run(parsed.GetValue(input)!, parsed.GetValue(output)!, parsed.GetValue(weights), parsed.GetValue(adapter), settings, parsed.GetValue(verify),
                parsed.GetValue(report), parsed.GetValue(verbose) ? Console.Error.WriteLine : null);
        });
        return command;
    }

    private static int Run(
        string input, string output, string? weights, string? adapter, GradientSettings settings, bool verify, string? report, Action<string>? log)
    {
        Outputs.Check("gradient",
            [("--output", output), ("--report", report), ("weights beside --output", weights is null ? WeightsOf(output) : null)], input, weights, adapter);
        if (!Path.Exists(input))
            throw new HaloException("model", input, "a forward graph (.onnx) or a Hugging Face folder", "neither", "Check the path.");
        if (weights is not null)
            Checkpoints.CheckGiven(weights);
        var folder = Directory.Exists(input) ? HuggingFaceSource.Open(input) : null;
        var source = folder is null ? SourceGraph.AsItIs(input) : Built(folder, weights, settings);
        var initializers = source.Model.Graph.Initializers.ToDictionary(v => v.Name, v => v.Initializer!, StringComparer.Ordinal);
        using var checkpoint = weights is null ? null : CheckpointReader.Open(weights);
        if (adapter is not null)
            settings = settings with { Adapters = Adapters(adapter, weights ?? folder?.Folder) };
        var passes = folder is null ? Pipelines.Gradient(settings) : Pipelines.Differentiate(settings.Freeze, settings.Adapters);
        var made = SourceGraph.Built(source.Model, passes, source.InputSha256,
            new PassOptions { Log = log, Checkpoint = checkpoint is null ? null : SourceGraph.TensorsOf(checkpoint) }, verify);
        if (settings.Packs)
            TrainingGraphSource.RequireDocuments(made.Model.Graph, input, isForward: true);
        var parameters = made.Model.Graph.Inputs.Where(i => i.Type.IsFloat() && initializers.ContainsKey(i.Name)).Select(i => i.Name).ToList();
        if (checkpoint is null && parameters.Count > 0)
            WriteBoth(made.Model, output, parameters.Select(name => SourceOf(name, initializers[name])));
        else
            OnnxWriter.Write(made.Model, output);
        foreach (var end in made.GradientEnds)
            Console.Error.WriteLine(end);
        if (report is not null)
            RewriteReport.Write(report, made.Model, made.Made!, made.InputSha256);
        foreach (var pass in Ledger.Of(made.Model).Rewrites[^1].Passes)
            Console.Error.WriteLine(pass.Describe(withOptions: false));
        Console.WriteLine(LinearReport.Line(made.Model.Graph));
        return ExitCode.Done;
    }

    /// <summary>The pass that adds an adapter; its values are given to <c>halo step</c>.</summary>
    private static AddAdapters Adapters(string adapter, string? weights)
    {
        if (weights is null)
        {
            throw new HaloException("gradient", "--adapter", "--weights with it, whose names tell an adapter's layers", "a graph alone",
                "Give the weights that the graph was exported from.");
        }
        using var checkpoint = CheckpointReader.Open(weights);
        using var opened = AdapterFolder.Open(adapter, checkpoint);
        return AdapterPasses.Of(opened.Layers, opened.Config.Dropout);
    }

    /// <summary>The forward graph of a folder, which is made of fused operators and has its parameters' names.</summary>
    private static SourceGraph Built(HuggingFaceSource folder, string? weights, GradientSettings settings)
    {
        if (settings.Raw)
            throw new HaloException("gradient", "--raw", "an exported graph", "a Hugging Face folder", "Leave it out; a graph that is built has no raw form.");
        folder.CheckWeights(weights ?? folder.Folder, Console.Error.WriteLine);
        var model = folder.Build(checked((int)settings.Batch), checked((int)settings.Sequence), settings.Precision.Type(), packed: settings.Packs);
        return new SourceGraph(model, null, GraphRewriter.Sha256(folder.ConfigPath));
    }

    private static string WeightsOf(string output) => Path.ChangeExtension(Path.GetFullPath(output), ".safetensors");

    /// <summary>
    /// Graph and weights, or neither: each waits under another name until the other is written. A graph that is replaced goes before its weights do, so that
    /// a kill in between leaves none, never the one beside the weights of the other.
    /// </summary>
    private static void WriteBoth(Model model, string output, IEnumerable<SafetensorsSource> parameters)
    {
        var target = WeightsOf(output);
        using (var weights = SafetensorsWriter.Begin(target, [.. parameters]))
        {
            OnnxWriter.Write(model, output, beforeGraph: () =>
            {
                if (File.Exists(target) && File.Exists(output))
                    AtomicFile.Remove(output);
                weights.Commit();
            });
        }
        Console.Error.WriteLine($"weights, under the graph's own names: {target}");
    }

    private static SafetensorsSource SourceOf(string name, Tensor tensor) => new(name, tensor.Type, tensor.Sizes, stream => tensor.ReadChunks(bytes =>
    {
        stream.Write(bytes);
        return true;
    }));
}
