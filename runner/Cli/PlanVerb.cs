using System.CommandLine;
using System.Text.Json.Nodes;
using Halo.Io;
using Halo.Ir;
using Halo.Passes.Training;
using Halo.Runner.Memory;
using Halo.Runner.Plans;
using Halo.Runner.Sessions;
using Halo.Runner.Sources;
using Halo.Runner.Training;
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
        var ranks = new Option<int>("--ranks")
        {
            Description = "Ranks that share the run: also what an update sends, by collective and type.",
            DefaultValueFactory = _ => 1,
            HelpName = "N",
        };
        var nodes = new Option<int>("--nodes") { Description = "Machines that the ranks are on, as many on each.", DefaultValueFactory = _ => 1, HelpName = "N" };
        var link = new Option<string?>("--link")
        {
            Description = "What a rank sends a second within a machine, between machines, and the latency of a collective: 450GB/s,50GB/s,20us.",
            HelpName = "TEXT",
        };
        var rate = new Option<double?>("--rate") { Description = "TFLOP/s of products on a rank, for the time of an update.", HelpName = "N" };
        foreach (var option in new Option[] { json, ranks, nodes, link, rate })
            command.Add(option);
        command.SetAction(parsed =>
        {
            var config = options.Read(parsed);
            if (parsed.GetValue(ranks) == 1 && Array.Find<Option>([nodes, link, rate], o => parsed.GetResult(o) is { Implicit: false }) is { } alone)
                throw new HaloException("plan", alone.Name, "--ranks with it", "one rank", "Give --ranks N, or leave it out.");
            var rewritten = GraphRewriter.Rewrite(TrainingGraphSource.Open(config).Training(), RewritePasses.Of(config)).Model;
            if (config.AdapterBase == BaseWeights.Int4)
                RoundedBase.Apply(rewritten);
            FrozenBase.Split(rewritten);
            var budget = config.Memory is { } text ? MemorySize.Parse(text) : (long?)null;
            if (parsed.GetValue(ranks) != 1)
            {
                var speed = parsed.GetValue(link) is { } spec ? LinkSpeed.Parse(spec) : null;
                var own = MemoryLevers.Apply(config, rewritten);
                var rankPlan = RankPlan.Of(config, own, parsed.GetValue(ranks), parsed.GetValue(nodes));
                foreach (var line in parsed.GetValue(json) ? [rankPlan.Json(speed, parsed.GetValue(rate)).ToJsonString(JsonText.Readable)]
                    : rankPlan.Lines(speed, parsed.GetValue(rate)))
                    Console.WriteLine(line);
                if (budget is not null && !parsed.GetValue(json))
                    Console.WriteLine(MemoryText.Line(rankPlan.Memory, budget, "each rank"));
                return ExitCode.Done;
            }
            var prices = new LeverPrices(config, rewritten);
            prices.Prepare();
            var (levers, offers) = (prices.All.ToList(), prices.Offers.ToList());
            var plan = config.Fit == MemoryFit.Auto ? LeverChoice.Of(prices, budget ?? PlannedMemory.BudgetOf(config, new Device(config.Device)))
                : levers.Find(l => l.Config.Recompute == config.Recompute && config.RecomputeLayers is null) ?? prices.Of(config);
            foreach (var line in parsed.GetValue(json) ? [Json(plan, [.. levers, .. offers], budget).ToJsonString(JsonText.Readable)]
                : Lines(config, rewritten, plan, levers, offers, budget))
                Console.WriteLine(line);
            return ExitCode.Done;
        });
        return command;
    }

    private static IEnumerable<string> Lines(TrainConfig config, Model rewritten, Lever plan, IReadOnlyList<Lever> levers, List<Lever> offers, long? budget) =>
    [
        .. MemoryText.Table(plan.Memory), "", .. plan.Why is { } why ? (IEnumerable<string>)[why] : [], $"with {plan.Text}; others:", .. levers.Select(l => Line(l, budget)),
        .. offers.Count > 0 ? (IEnumerable<string>)["", "for you to choose:", .. offers.Select(l => $"{Line(l, budget)}; {MemoryLevers.Change(l, config, rewritten)}")] : [],
    ];

    private static string Line(Lever lever, long? budget) =>
        $"{MemorySize.Text(lever.Memory.PeakBytes),11}  {lever.Text}, {lever.Products:P0} of the products{Verdict(lever, budget)}";

    private static string Verdict(Lever lever, long? budget) => budget is not { } bytes ? "" : lever.Memory.PeakBytes <= bytes ? ", fits" : ", does not fit";

    private static JsonObject Json(Lever plan, IReadOnlyList<Lever> levers, long? budget)
    {
        var json = MemoryText.Json(plan.Memory);
        (json["recompute"], json["recompute_layers"], json["saved_codes"]) = (Name(plan), plan.Config.RecomputeLayers, plan.Config.SavedCodes);
        (json["offload"], json["offload_residuals"]) = (ConfigKey.NameOf($"{plan.Config.Offload}"), plan.Config.OffloadResiduals);
        json["budget_bytes"] = budget;
        json["levers"] = new JsonArray([.. levers.Select(l => new JsonObject
        {
            ["recompute"] = Name(l),
            ["saved_codes"] = l.Config.SavedCodes,
            ["optimizer_in_backward"] = l.Config.OptimizerInBackward,
            ["offload"] = ConfigKey.NameOf($"{l.Config.Offload}"),
            ["offload_residuals"] = l.Config.OffloadResiduals,
            ["peak_bytes"] = l.Memory.PeakBytes,
            ["products"] = l.Products,
        })]);
        return json;

        static string Name(Lever lever) => ConfigKey.NameOf($"{lever.Config.Recompute}");
    }
}
