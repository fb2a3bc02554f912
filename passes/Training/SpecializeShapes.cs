using Halo.Analysis;
using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Passes.Training;

/// <summary>Fixes batch and sequence length of the graph's inputs, and with them the shape of every value.</summary>
/// <remarks>
/// Axis 0 of every token input (<see cref="TrainingNames.TokenInputs"/>) is the batch, axis 1 the sequence, whatever the exporter called them; a symbol that
/// stands there has the same size in every other input. What then computes sizes at run time is left to fold-constants. A mask that the graph
/// does not take is not made up: a model that ignores padding is another model.
/// </remarks>
/// <param name="Batch">B, rows of tokens.</param>
/// <param name="Sequence">T, tokens of a row.</param>
public sealed record SpecializeShapes(long Batch, long Sequence) : IGraphPass
{
    public string Name => "specialize-shapes";

    public ValueEffect Effect => new ValueEffect.Exact();

    public void Requires(Model model)
    {
        if (Batch < 1 || Sequence < 1)
            throw new PassException(Name, "batch and sequence", "at least 1 each", $"{Batch} and {Sequence}", "Give the sizes to train at.");
        foreach (var name in new[] { TrainingNames.InputIds, TrainingNames.AttentionMask })
        {
            if (model.Graph.Inputs.All(i => i.Name != name))
            {
                throw new PassException(Name, "the graph", $"an input '{name}' (batch, sequence)",
                    model.Graph.Inputs.Count == 0 ? "no input" : string.Join(", ", model.Graph.Inputs.Take(5).Select(i => i.Name)),
                    "Export the model with input_ids and attention_mask as inputs.");
            }
        }
    }

    public PassResult Run(Model model, PassContext context)
    {
        var sizes = new Dictionary<string, long>(StringComparer.Ordinal);
        var fixedInputs = 0;
        foreach (var input in model.Graph.Inputs.Where(i => TrainingNames.TokenInputs.Contains(i.Name)))
        {
            var shape = input.Shape ?? new Shape([Dim.Unknown, Dim.Unknown]);
            if (shape.Rank != 2)
            {
                throw new PassException(Name, $"input '{input.Name}'", "two axes, batch and sequence", shape.ToString(),
                    "Export the model with token inputs of two axes.");
            }
            Bind(input, shape[0], "batch", Batch, sizes);
            Bind(input, shape[1], "sequence", Sequence, sizes);
            fixedInputs += Fix(input, Shape.Of(Batch, Sequence));
        }
        foreach (var value in model.Graph.Values.Values.Where(v => v.Shape is not null))
        {
            var count = Fix(value, new Shape(value.Shape!.Select(d => d.Symbol is { } symbol && sizes.TryGetValue(symbol, out var size) ? size : d)));
            fixedInputs += value.IsGraphInput ? count : 0;
        }
        ShapeInference.Run(model.Graph);
        return new PassResult(fixedInputs);
    }

    public void Ensures(Model model)
    {
        if (model.Graph.Inputs.FirstOrDefault(i => i.Shape is not { IsStatic: true }) is { } input)
        {
            throw new PassException(Name, $"input '{input.Name}'", "sizes that batch and sequence decide", input.Shape?.ToString() ?? "an unknown shape",
                "Export the model without it: for training, a LLaMA takes tokens and a mask, and no key/value cache.");
        }
        var open = model.Graph.Nodes.SelectMany(n => n.Outputs).Where(o => o.Shape is not { IsStatic: true }).ToList();
        if (open.Count > 0)
        {
            throw new PassException(Name, open[0].Producer!, "", "an output of fixed sizes",
                $"'{open[0].Name}' {open[0].Shape?.ToString() ?? "of unknown shape"}{(open.Count > 1 ? $", and {open.Count - 1} more values behind it" : "")}",
                "Its sizes depend on what the tokens are; export the model without this operator.");
        }
    }

    private void Bind(Value input, Dim dim, string axis, long size, Dictionary<string, long> sizes)
    {
        if (dim.Size is { } other && other != size)
        {
            throw new PassException(Name, $"input '{input.Name}'", $"{axis} {size}", $"{other}, fixed by the export",
                $"Ask for {other}, or export the graph with a free {axis}.");
        }
        if (dim.Symbol is { } symbol && !sizes.TryAdd(symbol, size) && sizes[symbol] != size)
        {
            throw new PassException(Name, $"input '{input.Name}'", $"{axis} {size}", $"'{symbol}', which is {sizes[symbol]} on another axis",
                "Ask for equal sizes, or export the graph with two symbols.");
        }
    }

    private static int Fix(Value value, Shape shape)
    {
        if (shape.Equals(value.Shape))
            return 0;
        value.Shape = shape;
        return 1;
    }
}
