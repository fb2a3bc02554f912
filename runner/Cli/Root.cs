using System.CommandLine;

namespace Halo.Runner.Cli;

/// <summary>What the process ends with.</summary>
internal static class ExitCode
{
    public const int Done = 0;
    public const int Failed = 1;
    public const int WrongInput = 2;
}

/// <summary>The command line: one file a verb, listed here.</summary>
internal static class Root
{
    public static int Run(string[] args)
    {
        var root = new RootCommand("Halo rewrites LLaMA training graphs in ONNX to 8-bit matrix products and fine-tunes them with ONNX Runtime.")
        {
            RewriteVerb.Command(),
            StepVerb.Command(),
            TrainVerb.Command(),
            PrepareVerb.Command(),
            EvalVerb.Command(),
            InspectVerb.Command(),
            DiffVerb.Command(),
            DoctorVerb.Command(),
            DemoVerb.Command(),
        };
        var parsed = root.Parse(args);
        if (parsed.Errors.Count > 0)
        {
            foreach (var error in parsed.Errors)
                Console.Error.WriteLine($"error: halo {string.Join(' ', args.Take(1))}: {error.Message}");
            Console.Error.WriteLine($"See: halo {(parsed.CommandResult.Command == root ? "" : parsed.CommandResult.Command.Name + " ")}--help");
            return ExitCode.WrongInput;
        }
        return parsed.Invoke(new InvocationConfiguration { EnableDefaultExceptionHandler = false });
    }
}
