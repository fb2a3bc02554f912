using Halo.Ir;
using Halo.Models.Optimizer;
using Halo.Runner.Memory;
using Halo.Runner.Sources;
using Halo.Runner.Training;
using Halo.Runner.Training.Engine;

namespace Halo.Runner.Plans;

/// <summary>The memory that a run takes, from its graphs.</summary>
public static class PlannedMemory
{
    public static MemoryPlan Of(TrainingPlan plan) => MemoryPlan.Of(plan.Interface, plan.Training.Graph, plan.Config.Valid is null ? null : plan.Evaluation.Graph,
        plan.OptimizerModel.Graph, plan.BatchSize > plan.Interface.Rows, plan.Device.Kind, plan.Config.Attention);

    /// <summary>The same from a config alone: weights, tokenizer and data may be elsewhere.</summary>
    /// <exception cref="HaloException">The graph cannot be made.</exception>
    public static MemoryPlan Of(TrainConfig config)
    {
        var training = GraphRewriter.Rewrite(TrainingGraphSource.Open(config).Training(), RewritePasses.Of(config)).Model;
        return Of(config, training);
    }

    /// <param name="config">Optimizer, batch, device.</param>
    /// <param name="training">The graph that is run.</param>
    public static MemoryPlan Of(TrainConfig config, Model training)
    {
        var @interface = TrainingInterface.Of(training.Graph, config.Model, config.Device);
        return MemoryPlan.Of(@interface, training.Graph, config.Valid is null ? null : EvaluationGraph.Of(training.Clone()).Graph,
            AdamWGraph.Build(@interface.Trained, OptimizerSettings.Of(config),
                @interface.ParameterType == ElementType.BFloat16 ? ElementType.BFloat16 : ElementType.Float).Graph,
            (config.BatchSize ?? @interface.Rows) > @interface.Rows, config.Device, config.Attention);
    }

    /// <summary>The line at the start of a log.</summary>
    public static string Line(TrainingPlan plan) => MemoryText.Line(Of(plan), plan.Device.TotalBytes, plan.Device.IsGpu ? "the GPU" : "the machine");
}
