using System.CommandLine;
using Halo.CustomOps;
using Halo.Serialization;
using Halo.Text;

namespace Halo.Runner.Cli;

/// <summary><c>halo diff</c>: the structural difference of two graphs.</summary>
internal static class DiffVerb
{
    public static Command Command()
    {
        var a = new Argument<string>("A.onnx") { Description = "The graph before." };
        var b = new Argument<string>("B.onnx") { Description = "The graph after." };
        var command = new Command("diff", "Compare two graphs by structure. Exit code 1 if they differ.") { a, b };
        command.SetAction(parsed =>
        {
            var difference = GraphDiff.Between(
                OnnxReader.Read(parsed.GetValue(a)!, HaloOperators.Catalogue), OnnxReader.Read(parsed.GetValue(b)!, HaloOperators.Catalogue));
            Console.Write(difference.ToText());
            return difference.IsEmpty ? ExitCode.Done : ExitCode.Failed;
        });
        return command;
    }
}
