using Halo.Analysis;
using Halo.Building;
using Halo.Ir;
using Halo.Passes.Export.Inference;
using Halo.Passes.Infra;

namespace Halo.Passes.Training;

/// <summary>Gives a forward graph of logits an input <c>labels</c> and an output <c>loss</c>, the only one that it keeps.</summary>
/// <remarks>
/// logits (B, T, V), labels (B, T) int64 -> loss (), float32: the mean of -log softmax(logits[b, t])[labels[b, t + 1]] over the tokens whose next label
/// is not -100, as Hugging Face Transformers have it for causal models. Labels move to the left, and -100 comes behind them, so that
/// no logits are copied. Where no label counts the loss is NaN, as in PyTorch and in com.halo.CrossEntropy.
/// Logits are the output of that name, or the only float output of rank 3. A graph that has a loss keeps it.
/// </remarks>
public sealed record AttachLoss() : IGraphPass
{
    public string Name => "attach-loss";

    public ValueEffect Effect => new ValueEffect.Exact();

    public PassResult Run(Model model, PassContext context)
    {
        var graph = model.Graph;
        if (FindLoss(graph) is { } present)
        {
            context.Skip($"graph '{graph.Name}'", $"it has the loss '{present.Name}'");
            var renamed = present.Name == TrainingNames.Loss ? 0 : 1;
            Rename(graph, present);
            return new PassResult(renamed + Drop(graph, o => o != present && !TrainingNames.IsGradient(o)));
        }
        var logits = Logits.OutputOf(graph, Name);
        var loss = Loss(graph, logits);
        Drop(graph, _ => true);
        Rename(graph, loss);
        graph.AddOutput(loss);
        return new PassResult(1);
    }

    public void Ensures(Model model)
    {
        if (!model.Graph.Outputs.Any(o => o.Name == TrainingNames.Loss))
            throw new PassException(Name, $"graph '{model.Graph.Name}'", $"an output '{TrainingNames.Loss}'", "none", "Report this with the graph.");
    }

    /// <summary>A scalar float output: the one of that name, or the only one.</summary>
    private Value? FindLoss(Graph graph)
    {
        var scalars = graph.Outputs.Where(o => o.Type.IsFloat() && o.Shape is { Rank: 0 }).ToList();
        if (scalars.Find(o => o.Name == TrainingNames.Loss) is { } named)
            return named;
        return scalars.Count <= 1 ? scalars.FirstOrDefault() : throw new PassException(Name, $"graph '{graph.Name}'",
            $"a scalar output '{TrainingNames.Loss}', or only one scalar", string.Join(", ", scalars), "Give the loss that name.");
    }

    private Value Loss(Graph graph, Value logits)
    {
        var shape = logits.Shape!;
        if (shape[2].Size is not { } classes)
            throw new PassException(Name, $"'{logits.Name}'", "logits of a known vocabulary", $"{shape}", "Run specialize-shapes first.");
        if (graph.TryGetValue(TrainingNames.Labels, out var taken) && !taken.IsGraphInput)
            graph.Rename(taken, graph.FreeName(TrainingNames.Labels + "/inner"));
        var labels = taken is { IsGraphInput: true } ? taken : graph.AddInput(new Value(TrainingNames.Labels, ElementType.Int64, new Shape(shape.Take(2))));
        if (labels.Type != ElementType.Int64 || labels.Shape is not { Rank: 2 })
        {
            throw new PassException(Name, $"input '{TrainingNames.Labels}'", $"int64 {new Shape(shape.Take(2))}", $"{labels}",
                "Rename that input, or export without it.");
        }

        var build = GraphBuilder.AtEnd(graph, TrainingNames.Loss);
        var next = build.Op("next", "Slice", [labels, build.Constant("one", Tensor.Int64s(1)), build.Constant("end", Tensor.Int64s(long.MaxValue)),
            build.Constant("tokens", Tensor.Int64s(1))]);
        var shifted = build.Op("shifted", "Pad",
            [next, build.Constant("pads", Tensor.Int64s(0, 0, 0, 1)), build.Constant("ignored", Tensor.Scalar(TrainingNames.IgnoredLabel))]);
        var column = build.Op(TrainingNames.Labels, "Reshape", [shifted, build.Constant("column", Tensor.Int64s(-1))]);
        var rows = build.Op(TrainingNames.Logits, "Reshape", [logits, build.Constant("rows", Tensor.Int64s(-1, classes))]);
        if (rows.Type != ElementType.Float)
            rows = build.Op("wide", "Cast", [rows], Attribute.Of("to", (long)ElementType.Float));
        return build.Op("mean", "SoftmaxCrossEntropyLoss", [rows, column],
            Attribute.Of("ignore_index", TrainingNames.IgnoredLabel), Attribute.Of("reduction", "mean"));
    }

    /// <summary>Gives the loss its name; an inner value that has it gets another.</summary>
    private static void Rename(Graph graph, Value loss)
    {
        if (loss.Name != TrainingNames.Loss && graph.TryGetValue(TrainingNames.Loss, out var taken))
            graph.Rename(taken, graph.FreeName(TrainingNames.Loss + "/inner"));
        graph.Rename(loss, TrainingNames.Loss);
    }

    private static int Drop(Graph graph, Func<Value, bool> isDropped)
    {
        var dropped = graph.Outputs.Where(isDropped).ToList();
        dropped.ForEach(graph.RemoveOutput);
        return dropped.Count;
    }
}
