using Halo.Analysis;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Cleanup;
using Halo.Passes.Export.Inference;
using Halo.Passes.Fusion;
using Halo.Passes.Infra;
using Halo.Passes.Training;
using Halo.Runner.Training.Engine;

namespace Halo.Runner.Sources;

/// <summary>The forward part of a training graph: the loss, and the logits the loss is taken of.</summary>
internal static class EvaluationGraph
{
    /// <summary>The evaluation graph of a training graph, widened to several batches before it is rewritten: their activations share one scale.</summary>
    /// <param name="source">The training graph before the rewrite; its model is changed.</param>
    /// <param name="copies">Batches at once.</param>
    /// <param name="passes">The rewrite.</param>
    public static Model Widened(SourceGraph source, int copies, IReadOnlyList<IGraphPass> passes)
    {
        var model = source.Model;
        Of(model);
        if (model.Graph.TryGetValue(TrainingNames.Logits, out var logits))
            model.Graph.RemoveOutput(logits); // of many batches they are large, and nobody asked
        PassManager.Run(model, Pipelines.Widen(copies, passes), new PassOptions { Evaluator = new Sessions.OnnxEvaluator() });
        return model;
    }

    /// <summary>Drops every gradient from a training graph and names the head's product as a second output.</summary>
    /// <param name="model">Is changed; give a fresh one.</param>
    /// <returns>The same model.</returns>
    public static Model Of(Model model)
    {
        if (model.Graph.Nodes.Any(n => n.Is(nameof(LinearCrossEntropy), HaloDomain.Name)))
        {
            DropGradients(model);
            FuseLoss.Undo(model);
        }
        var head = Logits.ProductOf(model.Graph);
        DropGradients(model);
        if (head is not null)
        {
            Logits.Rename(model.Graph, head);
            model.Graph.AddOutput(head);
        }
        return model;
    }

    /// <summary>Leaves the loss alone of what a graph gives.</summary>
    internal static void DropGradients(Model model)
    {
        foreach (var output in model.Graph.Outputs.Where(o => o.Name != TrainingNames.Loss).ToList())
            model.Graph.RemoveOutput(output);
        SaveCodes.Undo(model.Graph);
        foreach (var dropout in model.Graph.Nodes.Where(n => n.Is(nameof(Dropout), HaloDomain.Name)).ToList())
        {
            dropout.Output.ReplaceUsesWith(dropout.Inputs[0]!); // what is evaluated drops nothing
            model.Graph.Remove(dropout);
        }
        foreach (var input in model.Graph.Inputs.Where(i => i.Name is TrainingInterface.DropoutSeed or TrainingInterface.DropoutStep).ToList())
            model.Graph.RemoveInput(input);
        PassManager.Run(model, [new RemoveDeadCode()], new PassOptions());
        foreach (var unread in model.Graph.Inputs.Where(i => ChooseRows.IsRows(i) || HoldTransposedCodes.IsTransposed(i)).ToList())
            model.Graph.RemoveInput(unread);
    }
}
