using System.CommandLine;
using System.CommandLine.Parsing;
using Halo.Runner.Distributed;
using Halo.Runner.Training.Engine;

namespace Halo.Runner.Cli;

/// <summary>What the process ends with.</summary>
internal static class ExitCode
{
    public const int Done = 0;
    public const int Failed = 1;
    public const int WrongInput = 2;

    /// <summary>A signal ended training, which can be gone on with: 128 and SIGINT, as shells have it.</summary>
    public const int Interrupted = 130;
}

/// <summary>The command line: one file a verb, listed here.</summary>
internal static class Root
{
    /// <summary>Runs a verb. What goes wrong is one line on stderr.</summary>
    public static int Run(string[] args)
    {
        try
        {
            Sessions.OnnxRuntimeLibrary.Check();
            return Invoke(args);
        }
        catch (RankFailedException)
        {
            return ExitCode.Failed; // another rank says why
        }
        catch (OnRankException e)
        {
            var (code, text) = Described(e.InnerException!, args);
            Console.Error.WriteLine($"error: {e.Place}: {text}");
            return code;
        }
        catch (Exception e)
        {
            var (code, text) = Described(e, args);
            Console.Error.WriteLine($"error: {text}");
            return code;
        }
    }

    /// <summary>What the process ends with, and the line that says why.</summary>
    private static (int ExitCode, string Text) Described(Exception e, string[] args)
    {
        switch (e)
        {
            case HaloException:
                return (ExitCode.WrongInput, e.Message);
            case IOException or UnauthorizedAccessException:
                return (ExitCode.WrongInput, new HaloException($"{args.FirstOrDefault()}", "files", "paths that can be read and written",
                    e.Message.TrimEnd('.'), "Check the path, its permissions and links.").Message);
            case TrainingFailedException or InvalidOperationException:
                return (ExitCode.Failed, e.Message);
            case OutOfMemoryException:
                return (ExitCode.Failed, new HaloException($"{args.FirstOrDefault()}", "memory", "as much as the work takes", e.Message.TrimEnd('.'),
                    "Take smaller sizes, or a machine with more memory.").Message);
        }
        // The last net: an input that no reader and no pass refused, and something took for granted what it has not.
        var place = e.StackTrace?.Split('\n').Select(l => l.Trim()).FirstOrDefault(l => l.StartsWith("at Halo.", StringComparison.Ordinal))?.Split('(')[0];
        var files = args.Where(File.Exists).Distinct().ToList();
        return (ExitCode.WrongInput, new HaloException("halo", files.Count == 0 ? string.Join(' ', args.Take(1)) : string.Join(", ", files),
            "input as its format defines it", $"{e.GetType().Name}: {e.Message.ReplaceLineEndings(" ").TrimEnd('.')}{(place is null ? "" : $" ({place})")}",
            "Check the input with another tool; if it is right, Halo has a defect: report this line with the input.").Message);
    }

    public static RootCommand Command() =>
        new("Halo rewrites LLaMA training graphs in ONNX to 8-bit matrix products and fine-tunes them with ONNX Runtime.")
        {
            RewriteVerb.Command(),
            GradientVerb.Command(),
            StepVerb.Command(),
            TrainVerb.Command(),
            PrepareVerb.Command(),
            PlanVerb.Command(),
            DataVerb.Command(),
            EvalVerb.Command(),
            ExportVerb.Command(),
            GenerateVerb.Command(),
            InspectVerb.Command(),
            DiffVerb.Command(),
            BenchVerb.Command(),
            DoctorVerb.Command(),
            DemoVerb.Command(),
        };

    private static int Invoke(string[] args)
    {
        var root = Command();
        var parsed = root.Parse(args);
        if (parsed.Errors.Count > 0)
        {
            var command = parsed.CommandResult.Command;
            var verb = string.Concat(Path(parsed.CommandResult).Select(name => $" {name}"));
            if (command.Subcommands.Count > 0)
            {
                throw new HaloException("command-line", $"halo{verb}", $"one of {string.Join(", ", command.Subcommands.Select(c => c.Name))}",
                    parsed.UnmatchedTokens is [var first, ..] ? $"'{first}'" : "none",
                    $"{Meant(parsed, command.Subcommands.Select(c => c.Name))}halo{verb} --help says what each does.");
            }
            var mistakes = parsed.Errors.Select(e => e.Message.Split(" as expected type")[0].TrimEnd('.')); // .NET's type names tell a user nothing
            throw new HaloException("command-line", $"halo{verb}", $"options and arguments as in halo{verb} --help",
                string.Join("; ", mistakes), Meant(parsed, command.Options.SelectMany(o => o.Aliases.Append(o.Name)).Where(o => o.StartsWith("--"))).TrimEnd());
        }
        return parsed.Invoke(new InvocationConfiguration { EnableDefaultExceptionHandler = false });
    }

    /// <summary>The names of a command and those that it is a part of, without the program's.</summary>
    private static IEnumerable<string> Path(CommandResult? result) =>
        result?.Parent is CommandResult parent ? Path(parent).Append(result.Command.Name) : [];

    /// <summary>What was meant by the first word that is none of the names; else to correct it.</summary>
    private static string Meant(ParseResult parsed, IEnumerable<string> names) =>
        parsed.UnmatchedTokens.Select(word => NearestName.Of(word, names)).FirstOrDefault() is { } nearest ? $"Did you mean '{nearest}'? "
        : "Correct the command. ";
}
