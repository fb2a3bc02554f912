using System.CommandLine;
using Halo.Passes.Infra;
using Halo.Passes.Rewrite;
using Halo.Runner.Sources;
using Halo.Serialization;
using Halo.Text;

namespace Halo.Runner.Cli;

/// <summary><c>halo rewrite</c>: a graph in, the rewritten graph out.</summary>
internal static class RewriteVerb
{
    public static Command Command()
    {
        var input = new Argument<string>("IN.onnx") { Description = "The graph: a training graph, or a forward graph." };
        var output = new Option<string>("--output", "-o") { Description = "The graph to write.", Required = true };
        var scheme = new Option<string>("--scheme")
        {
            Description = "Rotations: none, halo-0, halo-1, halo-2, or axes by product, \"F=K;E=N+M;G=N\".",
            DefaultValueFactory = _ => "none",
        };
        var format = new Option<string>("--format")
        {
            Description = "Operands: none, fp8, int8, fp6, or left,right by product, \"F=e4m3,e4m3;E=e5m2,e4m3;G=e5m2,e4m3\".",
            DefaultValueFactory = _ => "none",
        };
        var rederive = new Option<bool>("--rederive") { Description = "Build the gradient of a training graph anew, from fused operators." };
        var pipeline = new Option<string?>("--pipeline")
        {
            Description = "Passes to run instead of those that scheme and format call for: pass{option=value},pass,...",
        };
        var verify = new Option<bool>("--verify") { Description = "Run the graph before and after every pass and hold each pass to what it claims." };
        var report = new Option<string?>("--report") { Description = "JSON file to write: the linear layers, what was skipped and why, the passes." };
        var printAfter = new Option<string[]>("--print-after")
        {
            Description = "Print the graph as text to stderr after these passes.",
            AllowMultipleArgumentsPerToken = true,
        };
        var stopAfter = new Option<string?>("--stop-after") { Description = "The last pass to run." };
        var verbose = new Option<bool>("--verbose", "-v") { Description = "Print every rewrite and every skip with its reason." };
        var command = new Command("rewrite", "Rewrite a graph so that the products of its linear layers run in 8 bits.")
            { input, output, scheme, format, rederive, pipeline, verify, report, printAfter, stopAfter, verbose };
        command.SetAction(parsed =>
        {
            if (parsed.GetValue(pipeline) is not null
                && (parsed.GetValue(rederive) || parsed.GetResult(scheme) is { Implicit: false } || parsed.GetResult(format) is { Implicit: false }))
                throw new HaloException("rewrite", "--pipeline", "it alone", "--scheme, --format or --rederive with it",
                    "Give them inside the pipeline text.");
            var passes = parsed.GetValue(pipeline) is { } text ? Pipelines.Parse(text)
                : Pipelines.Rewrite(HaloScheme.Parse(parsed.GetValue(scheme)!), GemmFormats.Parse(parsed.GetValue(format)!),
                    rederive: parsed.GetValue(rederive));
            return Run(parsed.GetValue(input)!, parsed.GetValue(output)!, passes, parsed.GetValue(verify), parsed.GetValue(report), new PassOptions
            {
                PrintAfter = parsed.GetValue(printAfter) ?? [],
                Print = (pass, model) => Console.Error.WriteLine($"-- after {pass}\n{GraphPrinter.Print(model)}"),
                StopAfter = parsed.GetValue(stopAfter),
                Log = parsed.GetValue(verbose) ? Console.Error.WriteLine : null,
            });
        });
        return command;
    }

    private static int Run(string input, string output, IReadOnlyList<IGraphPass> passes, bool verify, string? report, PassOptions options)
    {
        Outputs.Check("rewrite", [("--output", output), ("--report", report)], input);
        var rewritten = GraphRewriter.Rewrite(input, passes, verify, options);
        OnnxWriter.Write(rewritten.Model, output);
        if (report is not null)
            RewriteReport.Write(report, rewritten.Model, rewritten.Run, rewritten.InputSha256);
        foreach (var pass in Ledger.Of(rewritten.Model).Rewrites[^1].Passes)
            Console.Error.WriteLine(pass.Describe(withOptions: false));
        Console.Error.WriteLine($"{new FileInfo(input).Length:N0} bytes in, {new FileInfo(output).Length:N0} out");
        Console.WriteLine(LinearReport.Line(rewritten.Model.Graph));
        return ExitCode.Done;
    }
}
