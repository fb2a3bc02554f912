using System.CommandLine;
using Halo.Analysis;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Infra;
using Halo.Passes.Rewrite;
using Halo.Serialization;
using Halo.Text;
using Spectre.Console;

namespace Halo.Runner.Cli;

/// <summary><c>halo inspect</c>: what a graph is, its linear layers, and what was done to it.</summary>
internal static class InspectVerb
{
    public static Command Command()
    {
        var input = new Argument<string>("MODEL.onnx") { Description = "The graph." };
        var text = new Option<bool>("--text") { Description = "Print the whole graph in its text form." };
        var command = new Command("inspect", "Show a graph: its interface, operators, linear layers, and ledger.") { input, text };
        command.SetAction(parsed =>
        {
            var path = parsed.GetValue(input)!;
            var model = OnnxReader.Read(path, HaloOperators.Catalogue);
            if (parsed.GetValue(text))
                Console.Write(GraphPrinter.Print(model));
            else
                Show(path, model);
            return ExitCode.Done;
        });
        return command;
    }

    private static void Show(string path, Model model)
    {
        var graph = model.Graph;
        var opsets = model.Opsets.Select(o => $"{(o.Key.Length == 0 ? "ai.onnx" : o.Key)} {o.Value}");
        var operators = graph.Nodes.GroupBy(n => n.Domain.Length == 0 ? n.OpType : $"{n.Domain}.{n.OpType}")
            .OrderByDescending(g => g.Count()).ThenBy(g => g.Key, StringComparer.Ordinal).Select(g => $"{g.Key} {g.Count()}");
        Console.WriteLine($"{Path.GetFileName(path)}: IR {model.IrVersion}, opsets {string.Join(", ", opsets)}"
            + (model.ProducerName.Length > 0 ? $", from {model.ProducerName} {model.ProducerVersion}" : ""));
        Console.WriteLine($"{graph.NodeCount} nodes, "
            + $"{graph.Initializers.Count} initializers ({graph.Initializers.Sum(v => v.Initializer!.SizeBytes):N0} bytes), {model.Functions.Count} functions");
        Console.WriteLine($"inputs: {Values(graph.Inputs)}");
        Console.WriteLine($"outputs: {Values(graph.Outputs)}");
        Console.WriteLine($"operators: {string.Join(", ", operators)}");
        Console.WriteLine();
        Console.WriteLine(LinearReport.Line(graph));
        Layers(LinearGemms.In(graph).Layers);
        foreach (var rewrite in Ledger.Of(model).Rewrites)
        {
            Console.WriteLine($"rewritten by {rewrite.Tool} from sha256 {rewrite.InputSha256}:");
            foreach (var pass in rewrite.Passes)
                Console.WriteLine($"  {pass.Describe(withOptions: true)}");
        }
    }

    private static void Layers(IReadOnlyList<LinearLayer> layers)
    {
        var table = new Table().Border(TableBorder.Simple).AddColumns("layer", "shape", "F", "E", "G");
        foreach (var layer in layers)
        {
            table.AddRow(new[] { layer.Name + (layer.IsHead ? " (head)" : layer.IsFrozen ? " (frozen)" : ""), layer.Weight.Shape?.ToString() ?? "?" }
                .Concat(Enum.GetValues<GemmRole>().Select(role => Describe([.. layer.Of(role)]))).Select(Markup.Escape).ToArray());
        }
        var console = AnsiConsole.Create(new AnsiConsoleSettings { Ansi = AnsiSupport.No, Out = new AnsiConsoleOutput(Console.Out) });
        console.Profile.Width = 160;
        console.Write(table);
    }

    private static string Describe(IReadOnlyList<LinearGemm> gemms)
    {
        if (gemms.Count == 0)
            return "-";
        var gemm = gemms[0];
        var axes = string.Join('+', Enum.GetValues<GemmAxis>().Where(gemm.IsRotated));
        var text = gemm.A.Format is { } left ? left == gemm.B.Format ? left : $"{left},{gemm.B.Format}" : "float";
        return text + (axes.Length > 0 ? $" H({axes})" : "") + (gemms.Count > 1 ? $" x{gemms.Count}" : "");
    }

    /// <summary>The first few with their types; a training graph has hundreds.</summary>
    private static string Values(IReadOnlyList<Value> values)
    {
        const int Shown = 6;
        var rest = values.Count - Shown;
        IEnumerable<Value> head = rest > 3 ? values.Take(3).Concat(values.TakeLast(3)) : values;
        var texts = head.Select(v => $"{v.Name} {v.Type.Name()}{v.Shape}").ToList();
        if (rest > 3)
            texts.Insert(3, $"... {rest} more ...");
        return string.Join(", ", texts);
    }
}
