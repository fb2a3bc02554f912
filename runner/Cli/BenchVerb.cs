using System.CommandLine;
using System.Globalization;
using System.Runtime.InteropServices;
using Halo.Analysis;
using Halo.CustomOps;
using Halo.Models.Bundled;
using Halo.Passes.Canonical.Precision;
using Halo.Passes.Infra;
using Halo.Runner.Benchmarks;
using Halo.Runner.Benchmarks.Fidelity;
using Halo.Runner.Sessions;
using Halo.Serialization;
using Microsoft.ML.OnnxRuntime;

namespace Halo.Runner.Cli;

/// <summary><c>halo bench</c>: how fast this machine trains, as tables in Markdown.</summary>
internal static class BenchVerb
{
    /// <summary>Shares of the step below this are one line.</summary>
    private const double SmallShare = 0.01;

    private static readonly IReadOnlyList<Variant> Variants =
    [
        new("none", "none", OperatorKernels.Native),
        new("none", "none", OperatorKernels.Native, IsRederived: false),
        .. from format in new[] { "fp8", "int8", "fp6" }
           from level in new[] { "halo-0", "halo-1", "halo-2" }
           select new Variant(format, level, OperatorKernels.Native),
        new("fp8", "halo-0", OperatorKernels.Native, IsRederived: false),
        new("fp8", "halo-0", OperatorKernels.Functions),
        new("int8", "halo-2", OperatorKernels.Functions),
    ];

    public static Command Command() => new("bench", "Measure speed and fidelity on this machine.") { Training(), BenchKernelsVerb.Command(), BenchDataVerb.Command(), Fidelity() };

    private static Command Training()
    {
        var graph = new Argument<string?>("TRAINING.onnx")
        {
            Description = "A float32 training graph; the bundled llama-tiny's if not given.",
            Arity = ArgumentArity.ZeroOrOne,
        };
        var threads = new Option<int>("--threads") { Description = "Threads; 0 is one for each core." };
        var rounds = new Option<int>("--rounds") { Description = "Updates timed of each variant.", DefaultValueFactory = _ => 15 };
        var device = Choice<GraphDevice>.Option("--device", "Where the graphs run: cpu or cuda.");
        var command = new Command("training", "Whole updates in float32 and in each format and level; on the CPU beside the rate of bare matrix products.")
        {
            graph, threads, rounds, device,
        };
        command.SetAction(parsed =>
        {
            if (parsed.GetValue(rounds) < 1)
                throw new HaloException("bench", "--rounds", "at least 1", $"{parsed.GetValue(rounds)}", "Leave it out for 15.");
            return Run(parsed.GetValue(graph), parsed.GetValue(threads), parsed.GetValue(rounds), new Device(parsed.GetValue(device)));
        });
        return command;
    }

    private static string Versions(string what, int threads) => $"{what}; {(threads == 0 ? Environment.ProcessorCount : threads)} threads, "
        + $"{RuntimeInformation.ProcessArchitecture}, ONNX Runtime {OrtEnv.Instance().GetVersionString()}, {Ledger.ToolVersion}, {DateTime.UtcNow:yyyy-MM-dd}.";

    private static Command Fidelity()
    {
        var output = new Option<string>("--output", "-o") { Description = "Folder of the study; what it holds already is not done again.", Required = true };
        var jobs = new Option<int>("--jobs") { Description = "Runs at a time.", DefaultValueFactory = _ => 1 };
        var threads = new Option<int>("--threads") { Description = "Threads of a run; 0 is one for each core." };
        var only = new Option<string>("--only")
        {
            Description = "Runs whose name has this in it, such as int8_halo-2 or tiny-outliers.",
            DefaultValueFactory = _ => "",
        };
        var seeds = new Option<int>("--seeds") { Description = "Seeds of every setting; 0: those that PyTorch's table has." };
        var device = Choice<GraphDevice>.Option("--device", "Where the graphs run: cpu or cuda.");
        var precision = Choice<FloatPrecision>.Option("--precision", "What the graphs compute in: fp32, bf16 or fp16; 16 bits need a GPU.");
        var table = new Option<bool>("--table") { Description = "Write the models, print the table of what is there, and run nothing." };
        var command = new Command("fidelity",
            "Fine-tune the bundled model in float32 and in each format and level, 180 updates each, and print the losses beside PyTorch's. Takes hours.")
        {
            output, jobs, threads, only, seeds, device, precision, table,
        };
        command.SetAction(parsed =>
        {
            if (parsed.GetValue(jobs) < 1)
                throw new HaloException("bench", "--jobs", "at least 1", $"{parsed.GetValue(jobs)}", "Leave it out for 1.");
            var all = FidelityCell.WithSeeds(parsed.GetValue(seeds));
            var cells = all.Where(cell => cell.Name.Contains(parsed.GetValue(only)!, StringComparison.Ordinal)).ToList();
            if (cells.Count == 0)
            {
                var meant = NearestName.Of(parsed.GetValue(only)!, all.SelectMany(c => c.Name.Split('_').Append(c.Name)));
                throw new HaloException("bench", "--only", "part of a run's name", $"'{parsed.GetValue(only)}'",
                    meant is null ? $"Names are like {FidelityCell.All[0].Name}." : $"Did you mean '{meant}'?");
            }
            var study = new FidelityStudy(Path.GetFullPath(parsed.GetValue(output)!), parsed.GetValue(jobs), parsed.GetValue(threads), all,
                parsed.GetValue(device), parsed.GetValue(precision));
            if (parsed.GetValue(table))
                study.Prepare();
            else
                study.Run(cells);
            Console.Write(FidelityTable.Write(all, study.Results));
            return ExitCode.Done;
        });
        return command;
    }

    private static int Run(string? graphPath, int threads, int rounds, Device device)
    {
        device.Require();
        var variants = device.IsGpu ? [.. Variants.Where(v => v.Operators == OperatorKernels.Native)] : Variants;
        var folder = Directory.CreateTempSubdirectory("halo-bench-").FullName;
        try
        {
            if (graphPath is null)
                LlamaTiny.ExtractTrainingGraph(graphPath = Path.Combine(folder, "llama-tiny-training.onnx"));
            var benchmark = new TrainingBenchmark(graphPath, threads, rounds, device);
            Console.Error.WriteLine($"{variants.Count} variants, {rounds} updates each");
            var times = benchmark.Run(variants);
            var model = OnnxReader.Read(graphPath, HaloOperators.Catalogue);
            ShapeInference.Run(model.Graph);
            var what = $"{Path.GetFileName(graphPath)}, {benchmark.TokensPerStep} tokens an update, on {device.Name}";
            var rate = device.IsGpu ? null : MatMulRate.Measure(model.Graph, threads);
            PrintTimes(what, benchmark.TokensPerStep, times, rate, threads);
            if (rate is not null) // a profile of a GPU has the times at which nodes were handed over
                PrintShares(times, rate);
            return ExitCode.Done;
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static void PrintTimes(string what, int tokens, IReadOnlyList<VariantTime> times, MatMulRate? rate, int threads)
    {
        Line(Versions(what, threads));
        Line("");
        Line("| | ms an update | tokens/s | times fp32 |" + (rate is null ? "" : " of the MatMul rate |"));
        Line("|---|---|---|---|" + (rate is null ? "" : "---|"));
        foreach (var time in times)
            Line($"| {time.Variant} | {time.Seconds * 1000:F1} | {tokens / time.Seconds:F0} | {time.Seconds / times[0].Seconds:F2} |"
                + (rate is null ? "" : $" {rate.Seconds / time.Seconds:P0} |"));
    }

    private static void PrintShares(IReadOnlyList<VariantTime> times, MatMulRate rate)
    {
        var plain = times[0];
        Line("");
        Line($"ONNX Runtime's MatMul at the shapes of all linear products: {rate.GigaflopsPerSecond:F0} GFLOP/s, {rate.Seconds * 1000:F0} ms for the "
            + $"{rate.Operations / 1e9:F1} GFLOP of an update. The fp32 update does them at {rate.Operations / plain.Seconds / 1e9:F0} GFLOP/s, "
            + $"{rate.Seconds / plain.Seconds:P0} of that rate.");
        foreach (var time in times)
        {
            Line("");
            Line($"Where the time of {time.Variant} goes (forward and backward):");
            Line("");
            Line("| operator | nodes | ms | share |");
            Line("|---|---|---|---|");
            var total = time.Profile.Milliseconds.Sum(t => t.Milliseconds);
            foreach (var (name, milliseconds, nodes) in time.Profile.Milliseconds.Where(t => t.Milliseconds >= SmallShare * total))
                Line($"| {name} | {nodes} | {milliseconds:F1} | {milliseconds / total:P0} |");
            var small = time.Profile.Milliseconds.Where(t => t.Milliseconds < SmallShare * total).ToList();
            Line($"| {small.Count} others | {small.Sum(t => t.Nodes)} | {small.Sum(t => t.Milliseconds):F1} | {small.Sum(t => t.Milliseconds) / total:P0} |");
        }
    }

    private static void Line(string text) => Console.WriteLine(text.ToString(CultureInfo.InvariantCulture));
}
