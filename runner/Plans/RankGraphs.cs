using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Models.Optimizer;
using Halo.Passes.Infra;
using Halo.Passes.Sharding;
using Halo.Runner.Distributed;
using Halo.Runner.Sessions;
using Halo.Runner.Training;
using Halo.Runner.Training.Engine;

namespace Halo.Runner.Plans;

/// <summary>The graphs of one rank, from those of the run.</summary>
/// <param name="Training">Loss and this rank's gradients.</param>
/// <param name="Evaluation">Loss and logits over the same parameters; null where nothing is evaluated.</param>
/// <param name="Optimizer">The update of this rank's rows.</param>
/// <param name="Interface">What <paramref name="Training"/> takes and gives.</param>
/// <param name="Rows">Where the rank's rows lie in whole tensors.</param>
internal sealed record RankGraphs(Model Training, Model? Evaluation, Model Optimizer, TrainingInterface Interface, Rows Rows)
{
    /// <summary>What a run of these settings splits, and the place of one of its ranks.</summary>
    public static ShardPlan PlanOf(TrainConfig config, int ranks, int rank, int ranksOfNode) => new(config.Shard, ranks, rank, ranksOfNode)
    {
        Gradients = config.ShardGradients,
        Feedback = config.ShardGradientsFeedback,
        Lookups = config.ShardLookups,
    };

    /// <summary>Throws where a run has what only one process does so far.</summary>
    /// <exception cref="HaloException">
    /// It trains chosen elements or rows, keeps states or residuals on the host, codes of weights for an update, moments in 8 bits or sums in bfloat16; or levers
    /// and what is split do not go together.
    /// </exception>
    public static void Require(string verb, TrainConfig config, bool hasAdapters)
    {
        if ((config.AdapterKind is Passes.Training.AdapterKind.Efqat or Passes.Training.AdapterKind.Rosa ? "adapter" : config.Offload != Offload.None ? "offload"
            : config.OffloadResiduals ? "offload_residuals" : config.WeightCodes == WeightCodes.Update ? "weight_codes"
            : config.Moments != MomentPrecision.States ? "moments" : config.GradientSums != StatePrecision.Fp32 ? "gradient_sums" : null) is { } alone)
            throw new HaloException(verb, alone, "none, where several ranks share a run", "one", "Train by one process, or leave it out.");
        if (config.Fit == MemoryFit.Auto)
            throw new HaloException(verb, "fit", "none, where several ranks share a run, whose levers are named", "auto", "Give --recompute, and see what halo plan --ranks says.");
        if (config.ShardGradientsFeedback && (config.ShardGradients == SentGradients.Whole || config.Shard is ShardMode.None or ShardMode.Hybrid || hasAdapters))
        {
            throw new HaloException(verb, "shard_gradients_feedback", "shard_gradients int8 or fp8 with shard full or state, of a run without an adapter",
                $"shard_gradients {config.ShardGradients}, shard {config.Shard}{(hasAdapters ? ", an adapter" : "")}".ToLowerInvariant(), "Change these, or leave it out.");
        }
        if (config.ShardLookups == LookupExchange.Rows && (config.ShardGradients != SentGradients.Whole || config.Shard == ShardMode.None || hasAdapters))
        {
            throw new HaloException(verb, "shard_lookups", "auto or table with gradients in 8 bits, with shard none, or under an adapter", "rows",
                "Leave it out, or change the others.");
        }
        if (hasAdapters && config.Shard == ShardMode.State)
        {
            throw new HaloException(verb, "shard", "full, hybrid or none where an adapter is trained, whose gradients and moments every rank has", "state",
                "Give --shard full, which splits the base.");
        }
        if (config.OptimizerInBackward && !hasAdapters && config.Shard == ShardMode.State)
        {
            throw new HaloException(verb, "shard", "full, hybrid or none with optimizer_in_backward, which updates what a rank holds", "state",
                "Give --shard full, or leave optimizer_in_backward out.");
        }
    }

    /// <param name="plan">What is split, and whose graphs these are.</param>
    /// <param name="training">The run's training graph; stays as it is.</param>
    /// <param name="evaluation">Its evaluation graph; stays as it is.</param>
    /// <param name="settings">Of the optimizer.</param>
    /// <param name="device">Where they run.</param>
    /// <param name="accumulates">Gradients are summed over micro-batches.</param>
    /// <param name="updatesInBackward">The training graph has the updates itself.</param>
    public static RankGraphs Of(ShardPlan plan, Model training, Model? evaluation, AdamWSettings settings, GraphDevice device, bool accumulates,
        bool updatesInBackward = false)
    {
        var whole = TrainingInterface.Of(training.Graph, "training graph", device);
        var (own, eval) = (training.Clone(), evaluation?.Clone());
        PassManager.Run(own, Pipelines.Split(plan), new PassOptions());
        var @interface = TrainingInterface.Of(own.Graph, "training graph", device);
        if (updatesInBackward)
            OptimizerInBackward.AddTo(own, @interface.Trained, settings, @interface.ParameterType, PartSums.Over(plan));
        PassManager.Run(own, Pipelines.Overlap, new PassOptions());
        if (eval is not null && (plan.SplitsParameters || plan.Base != ShardMode.None))
            PassManager.Run(eval, Pipelines.OfRank(plan), new PassOptions());
        var optimizer = AdamWGraph.Build(@interface.Updated, settings, @interface.ParameterType,
            accumulates && @interface.ParameterType != ElementType.Float ? ElementType.Float : null);
        if (plan is { SplitsParameters: false, Parts: > 1 })
            HoldWhole(optimizer, @interface, plan);
        return new RankGraphs(own, eval, optimizer, @interface, new Rows(plan, whole.Parameters.ToDictionary(p => p.Name, p => p.Shape, StringComparer.Ordinal)));
    }

    /// <summary>Lets an update of rows take the whole parameter and give it back with the rows that all ranks have updated.</summary>
    private static void HoldWhole(Model optimizer, TrainingInterface @interface, ShardPlan plan)
    {
        var graph = optimizer.Graph;
        foreach (var (name, shape) in @interface.Trained)
        {
            var parameter = graph.Inputs.First(i => i.Name == name);
            var uses = parameter.Uses.ToList();
            parameter.Shape = shape;
            var (first, count) = plan.RangeOf(shape.Sizes[0]);
            var front = GraphBuilder.Before(uses[0].Node, name);
            var rows = front.Op("rows", "Slice", [parameter, front.Constant("first", Tensor.Int64s(first)), front.Constant("end", Tensor.Int64s(first + count)),
                front.Constant("axis", Tensor.Int64s(0))]);
            foreach (var use in uses)
                use.Node.ReplaceInput(use.Index, rows);
            var updated = graph.Outputs.First(o => o.Name == AdamWGraph.Updated + name);
            var end = GraphBuilder.AtEnd(graph, name);
            graph.ReplaceOutput(updated, end.CollectiveWait(
                end.AllGatherStart(updated, plan.RowsOf(shape.Sizes[0]), plan.Part, plan.Group, "updated/start"), [], "updated/whole"));
        }
    }
}
