using System.CommandLine;
using System.Globalization;
using System.Runtime.InteropServices;
using Halo.Models.Bundled;
using Halo.Models.Tokenizers;
using Halo.Passes.Infra;
using Halo.Runner.Benchmarks;

namespace Halo.Runner.Cli;

/// <summary><c>halo bench data</c>: how fast rows become tokens.</summary>
internal static class BenchDataVerb
{
    public static Command Command()
    {
        var tokenizer = new Option<string?>("--tokenizer") { Description = "Folder of tokenizer.json and a chat template; the bundled model's if not given.", HelpName = "FOLDER" };
        var size = new Option<int>("--megabytes") { Description = "Of the data that are made for it, in the system's temporary folder.", DefaultValueFactory = _ => 200 };
        var sequence = new Option<int>("--sequence-length") { Description = "Tokens at which rows are cut.", DefaultValueFactory = _ => LlamaTiny.TrainingSequence };
        var command = new Command("data", "Data to tokens: ids alone, all of JSON, template, tokens and mask, and a second start from the cache.") { tokenizer, size, sequence };
        command.SetAction(parsed =>
        {
            if (parsed.GetValue(size) is < 1 or > 100_000)
                throw new HaloException("bench", "--megabytes", "1 to 100000", $"{parsed.GetValue(size)}", "Leave it out for 200.");
            if (parsed.GetValue(sequence) < 2)
                throw new HaloException("bench", "--sequence-length", "at least 2", $"{parsed.GetValue(sequence)}", "Leave it out.");
            var folder = Directory.CreateTempSubdirectory("halo-bench-").FullName;
            try
            {
                var rows = Path.Combine(AppContext.BaseDirectory, "data", "sql", "train.jsonl");
                var benchmark = new DataBenchmark(HfTokenizer.Load(parsed.GetValue(tokenizer) ?? LlamaTiny.Folder), rows, folder);
                Print(benchmark.Run(parsed.GetValue(size), parsed.GetValue(sequence)));
                return ExitCode.Done;
            }
            finally
            {
                Directory.Delete(folder, recursive: true);
            }
        });
        return command;
    }

    private static void Print(IReadOnlyList<DataBenchmark.Rate> rates)
    {
        Console.WriteLine($"{Environment.ProcessorCount} cores, {RuntimeInformation.ProcessArchitecture}, {Ledger.ToolVersion}, {DateTime.UtcNow:yyyy-MM-dd}.");
        Console.WriteLine();
        Console.WriteLine("| | MB | MB/s a core | core seconds | seconds | peak memory, MB |");
        Console.WriteLine("|---|---|---|---|---|---|");
        foreach (var rate in rates)
        {
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"| {rate.What} | {rate.Megabytes:F0} | {rate.Megabytes / rate.CoreSeconds:F1} | {rate.CoreSeconds:F1} | {rate.Seconds:F1} | {rate.PeakMegabytes:F0} |"));
        }
    }
}
