using Halo.Ir;
using Halo.Runner.Memory;
using Halo.Runner.Sessions;
using Halo.Runner.Sources;
using Halo.Runner.Training;
using Halo.Runner.Training.Engine;

namespace Halo.Runner.Plans;

/// <summary>The memory that a run takes, from its graphs.</summary>
internal static class PlannedMemory
{
    /// <remarks>Of a plan that was read, the training graph says it all: the others are not parsed for it.</remarks>
    public static MemoryPlan Of(TrainingPlan plan)
    {
        var evaluation = plan.Config.Valid is null ? null : plan.Rewritten is null ? EvaluationGraph.Of(plan.Training.Clone()) : plan.Evaluation;
        var (training, codes) = plan.TrainingAsRun();
        return MemoryPlan.Of(plan.Interface, training.Graph, evaluation?.Graph,
            plan.Rewritten is null ? null : plan.OptimizerModel.Graph, updates: true,
            plan.Accumulates, plan.Device.Kind, plan.Config.Attention, plan.Optimizer.Moments, codes?.Graph).With(plan.Config.Offload);
    }

    /// <param name="config">Optimizer, batch, device.</param>
    /// <param name="training">The graph that is run.</param>
    public static MemoryPlan Of(TrainConfig config, Model training)
    {
        var @interface = TrainingInterface.Of(training.Graph, config.Model, config.Device);
        var (run, codes) = TrainingPlan.AsRun(config, training, @interface, OptimizerSettings.Of(config));
        return MemoryPlan.Of(@interface, run.Graph, config.Valid is null ? null : EvaluationGraph.Of(training.Clone()).Graph,
            UpdateGraph.Of(@interface, OptimizerSettings.Of(config),
                @interface.ParameterType == ElementType.BFloat16 ? ElementType.BFloat16 : ElementType.Float).Graph,
            updates: true, (config.BatchSize ?? @interface.Rows) > @interface.Rows, config.Device, config.Attention, codes: codes?.Graph).With(config.Offload);
    }

    /// <summary>The line at the start of a log, and the lever that would do where it does not fit.</summary>
    public static IEnumerable<string> Lines(TrainingPlan plan)
    {
        var (memory, budget) = (Of(plan), BudgetOf(plan.Config, plan.Device));
        yield return MemoryText.Line(memory, budget, plan.Device.IsGpu ? "the GPU" : "the machine");
        if (budget < memory.PeakBytes && plan.Config is { Fit: MemoryFit.Off, Recompute: not Recomputed.Layer })
            yield return "memory: that does not fit; --recompute computes activations again, --fit auto chooses, and halo plan says what each saves";
    }

    /// <summary>The line of a rank.</summary>
    public static IEnumerable<string> Lines(TrainingPlan plan, RankGraphs graphs, bool accumulates)
    {
        var memory = MemoryPlan.Of(graphs.Interface, graphs.Training.Graph, plan.Config.Valid is null ? null : graphs.Evaluation?.Graph, graphs.Optimizer.Graph,
            updates: true, accumulates, plan.Device.Kind, plan.Config.Attention);
        yield return MemoryText.Line(memory, BudgetOf(plan.Config, plan.Device), plan.Device.IsGpu ? "the GPU of each rank" : "the machine");
    }

    /// <summary>What to say where memory ran out.</summary>
    /// <param name="plan">The run's.</param>
    /// <param name="bytes">Memory that there is.</param>
    public static string Advice(TrainingPlan plan, long bytes)
    {
        var (config, planned) = (plan.Config, $"Planned were {MemorySize.Text(Of(plan).PeakBytes)}");
        var prices = new LeverPrices(config, plan.Training);
        if (config.Recompute == Recomputed.None && prices.All.FirstOrDefault(l => l.Memory.PeakBytes <= bytes) is { } lever)
            return $"{planned}; {lever.Options} takes {MemorySize.Text(lever.Memory.PeakBytes)}.";
        if (prices.Offers.FirstOrDefault(l => l.Memory.PeakBytes <= bytes) is { } offer)
            return $"{planned}; {offer.Options} ({MemoryLevers.Change(offer, config, plan.Training)}) takes {MemorySize.Text(offer.Memory.PeakBytes)}.";
        return $"{planned}, {(config.Recompute == Recomputed.None ? "and no recompute would fit" : "with recompute already")}: take a smaller --micro-batch-size.";
    }

    /// <summary>Bytes that training may take: those of the config, else the device's.</summary>
    public static long BudgetOf(TrainConfig config, Device device) => config.Memory is { } text ? MemorySize.Parse(text) : device.TotalBytes;
}
