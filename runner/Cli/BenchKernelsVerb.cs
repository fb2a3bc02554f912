using System.CommandLine;
using Halo.Io;
using Halo.Runner.Benchmarks;
using Halo.Runner.Sessions;

namespace Halo.Runner.Cli;

/// <summary><c>halo bench kernels</c>: the time of each kernel of a device, as tables in Markdown.</summary>
internal static class BenchKernelsVerb
{
    public static Command Command()
    {
        var device = Choice<GraphDevice>.Option("--device", "Whose kernels: cpu (operators of com.halo, each by its function body too) or cuda.");
        var filter = new Option<string>("--filter")
        {
            Description = "Only kernels whose name and type have this in them, such as 'hadamard_transform 704' or 'e4m3'.",
            DefaultValueFactory = _ => "",
        };
        var json = new Option<string?>("--json") { Description = "Also write lines of JSON to this file: versions, then a kernel each." };
        var threads = new Option<int>("--threads") { Description = "Threads on the CPU; 0 is one for each core." };
        var rounds = new Option<int>("--rounds") { Description = "Runs timed of each operator on the CPU.", DefaultValueFactory = _ => 30 };
        var command = new Command("kernels", "Each kernel of a device: time, rate, and its share of a copy or of bare products in the same run.")
        {
            device, filter, json, threads, rounds,
        };
        command.SetAction(parsed =>
        {
            if (parsed.GetValue(rounds) < 1)
                throw new HaloException("bench", "--rounds", "at least 1", $"{parsed.GetValue(rounds)}", "Leave it out for 30.");
            var part = parsed.GetValue(filter)!;
            var report = parsed.GetValue(device) == GraphDevice.Cuda ? KernelBenchmark.OnGpu(part, Console.Error.WriteLine)
                : KernelBenchmark.OnCpu(part, parsed.GetValue(threads), parsed.GetValue(rounds), Console.Error.WriteLine);
            if (!report.Kernels.Any())
                throw new HaloException("bench", "--filter", "part of a kernel's name and type", $"'{part}'", "Leave it out to see all of them.");
            if (parsed.GetValue(json) is { } path)
                AtomicFile.WriteText(Path.GetFullPath(path), report.ToJsonLines());
            Console.Write(report.ToMarkdown());
            return ExitCode.Done;
        });
        return command;
    }
}
