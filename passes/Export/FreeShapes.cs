using Halo.Analysis;
using Halo.Ir;
using Halo.Operators;
using Halo.Passes.Export.Inference;
using Halo.Passes.Infra;

namespace Halo.Passes.Export;

/// <summary>Lets a canonical forward graph of fixed batch and sequence take any: the inverse of specialize-shapes.</summary>
/// <remarks>
/// The token inputs (B, T) become [batch_size, sequence_length]. From there every size is followed through the graph as the list of its factors in
/// row-major order (<see cref="FreeSize"/>), so that B, T and a number that happens to be as large stay apart. The sizes that a Reshape is given are
/// written anew: 0 for one that stays where it is, -1 for the one that is left, else that of input_ids. What depends on B or T in another way than
/// the rules say (<see cref="OperatorFacts.FreeSizes"/>) is an error.
/// Rotary tables keep their rows, one for each of the T positions of the fixed graph: longer sequences are an error when the graph runs, until
/// cache-attention gives tables of their own.
/// </remarks>
public sealed record FreeShapes() : IGraphPass
{
    public string Name => "free-shapes";

    public ValueEffect Effect => new ValueEffect.Exact();

    public void Requires(Model model)
    {
        if (model.Graph.Inputs.All(i => i.Name != TrainingNames.InputIds))
        {
            throw new PassException(Name, "the graph", $"an input '{TrainingNames.InputIds}' (batch, sequence)",
                string.Join(", ", model.Graph.Inputs.Take(5).Select(i => i.Name)), "Export a language model that takes tokens.");
        }
    }

    public PassResult Run(Model model, PassContext context)
    {
        var graph = model.Graph;
        var tokens = graph.Inputs.Where(i => TrainingNames.TokenInputs.Contains(i.Name)).ToList();
        var ids = tokens.First(i => i.Name == TrainingNames.InputIds);
        if (ids.Shape is { Rank: 2 } free && free.All(d => !d.IsKnown))
        {
            context.Skip("the graph", "its batch and sequence are free");
            return new PassResult(0);
        }
        ShapeInference.Run(graph);
        var sizes = tokens.ToDictionary(t => t, t => Tokens(t, ids));
        var targets = new TokenSizes(graph);
        var rewrites = 0;
        foreach (var node in graph.Nodes.ToList())
        {
            if (!node.Inputs.Any(v => v is not null && sizes.ContainsKey(v)))
                continue;
            var result = node.Facts.FreeSizes?.Invoke(new FreeOperands(node, [.. node.Inputs.Select(v => v is null ? null : Of(v, sizes, node))]))
                ?? throw Refused(node);
            if (node.Is("Reshape"))
            {
                context.Step(node, $"reshape to [{string.Join(", ", result)}]");
                node.ReplaceInput(1, Target(node, sizes[node.Inputs[0]!], result, targets));
                rewrites++;
            }
            sizes[node.Output] = result;
            foreach (var part in node.Is("Split") ? node.Outputs.Skip(1) : [])
                sizes[part] = [.. result.Zip(part.Shape!.Sizes, (s, size) => s.IsFree ? s : FreeSize.Of(size))];
        }
        foreach (var (value, own) in sizes)
            value.Shape = new Shape(own.Select(s => s.Dim));
        Infer(graph, sizes);
        graph.RemoveUnusedInitializers();
        return new PassResult(rewrites + tokens.Count);
    }

    public void Ensures(Model model)
    {
        foreach (var value in model.Graph.Values.Values.Where(v => v.Shape is null || v.Shape.Any(d => d == Dim.Unknown)))
        {
            throw new PassException(Name, $"value '{value.Name}'", "a shape of numbers and symbols", $"{value.Shape}",
                "This is a defect of the pass; please report it.");
        }
    }

    /// <summary>(B, T), as input_ids has them.</summary>
    private IReadOnlyList<FreeSize> Tokens(Value input, Value ids)
    {
        if (input.Shape is not { Rank: 2, IsStatic: true } shape || !shape.Equals(ids.Shape))
        {
            throw new PassException(Name, $"input '{input.Name}'", $"the sizes of '{ids.Name}', batch and sequence, both fixed or both free",
                $"{input.Shape} beside {ids.Shape}", "Run specialize-shapes first.");
        }
        return [new FreeSize([new SizeFactor(shape.Sizes[0], TokenSizes.Batch)]), new FreeSize([new SizeFactor(shape.Sizes[1], TokenSizes.Sequence)])];
    }

    private IReadOnlyList<FreeSize> Of(Value value, Dictionary<Value, IReadOnlyList<FreeSize>> sizes, Node node)
    {
        if (sizes.TryGetValue(value, out var free))
            return free;
        return value.Shape is { IsStatic: true } shape ? [.. shape.Sizes.Select(FreeSize.Of)]
            : throw new PassException(Name, node, "forward", $"'{value.Name}' of known sizes", $"{value.Shape}", "Run specialize-shapes first.");
    }

    /// <summary>The second input of a Reshape: 0 keeps a size, -1 is the only other free one, or else the last of them that is more than B or T.</summary>
    private Value Target(Node node, IReadOnlyList<FreeSize> from, IReadOnlyList<FreeSize> to, TokenSizes targets)
    {
        var dims = to.Select((s, axis) => !s.IsFree ? s.Dim : axis < from.Count && from[axis].Equals(s) ? 0 : s.Dim).ToArray();
        var open = Enumerable.Range(0, dims.Length).Where(axis => !dims[axis].IsKnown).ToList();
        if (open.Count > 0)
        {
            var products = open.Where(axis => to[axis].Factors.Count > 1).ToList();
            if (products.Count > 1)
                throw Refused(node);
            dims[products.Count == 1 ? products[0] : open[^1]] = -1;
        }
        node.Attributes.Remove("allowzero");
        return targets.Target(dims);
    }

    /// <summary>Shapes of the nodes' outputs, by inference from the free inputs; those that the rules gave must be the same.</summary>
    private void Infer(Graph graph, Dictionary<Value, IReadOnlyList<FreeSize>> sizes)
    {
        foreach (var node in graph.Nodes.Where(n => n.Outputs.Any(sizes.ContainsKey)))
        {
            foreach (var output in node.Outputs)
                output.Shape = null;
            ShapeInference.Infer(node);
            var expected = new Shape(sizes[node.Output].Select(s => s.Dim));
            if (!expected.Equals(node.Output.Shape))
            {
                throw new PassException(Name, node, "forward", $"an output of {expected}", $"{node.Output.Shape} by shape inference",
                    "This is a defect of the pass; please report it.");
            }
        }
    }

    private PassException Refused(Node node) => new(Name, node, "forward", "an operator that does with batch and sequence what a canonical forward graph does",
        string.Join(", ", node.Inputs.Select(v => v?.ToString() ?? "none")),
        "Run take-logits and canonicalize first; what is left of labels or masks cannot be freed.");
}
