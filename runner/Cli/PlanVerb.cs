using System.CommandLine;
using Halo.Io;
using Halo.Runner.Memory;
using Halo.Runner.Plans;
using Halo.Runner.Training.Config;

namespace Halo.Runner.Cli;

/// <summary><c>halo plan</c>: says what training would take on its device, from the model's config alone.</summary>
internal static class PlanVerb
{
    public static Command Command()
    {
        var command = new Command("plan", "Say what memory training takes, by class, before anything is allocated: weights, data and GPU may be elsewhere.");
        var options = new ConfigOptions(command, ConfigUse.Plan);
        var json = new Option<bool>("--json") { Description = "Print bytes as JSON." };
        command.Add(json);
        command.SetAction(parsed =>
        {
            var plan = PlannedMemory.Of(options.Read(parsed));
            if (parsed.GetValue(json))
            {
                Console.WriteLine(MemoryText.Json(plan).ToJsonString(JsonText.Readable));
                return ExitCode.Done;
            }
            foreach (var line in MemoryText.Table(plan))
                Console.WriteLine(line);
            return ExitCode.Done;
        });
        return command;
    }
}
