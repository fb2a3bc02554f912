using Halo.Analysis;
using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Infra;
using Halo.Passes.Rewrite;
using Halo.Passes.Training.Gradients;

namespace Halo.Passes.Training;

/// <summary>Adds to linear layers of a forward graph adapters of low rank, whose parameters are inputs under PEFT's names.</summary>
/// <remarks>
/// Y (b, n) = X (b, m) W^T becomes Y + s (X A^T) B^T, A (r, m), B (n, r): <c>base_model.model.LAYER.lora_A.weight</c> and so on. With DoRA it is multiplied by
/// m / |W + s B A|, whose length ends gradients. The adapter's product stands before the base's, which can then be summed onto it. What is to be trained as a whole gets the name of a copy; <see cref="BuildGradient"/> then trains what has
/// such names, and the base is frozen.
/// </remarks>
/// <param name="Layers">The adapter of each layer, by its name.</param>
/// <param name="Save">Parameters of the base that are trained as a whole.</param>
/// <param name="Dropout">Share of the inputs of A that is dropped; the graph gets inputs <c>dropout_seed</c> and <c>dropout_step</c> where it is not 0.</param>
public sealed record AddAdapters(LayerRules<AdapterShape> Layers, NamePatterns? Save = null, float Dropout = 0) : IGraphPass
{
    public string Name => "add-adapters";

    /// <remarks>While B is zero and m the lengths of W's rows, as adapters begin.</remarks>
    public ValueEffect Effect => new ValueEffect.Exact();

    public void Requires(Model model)
    {
        if (model.Graph.Outputs.FirstOrDefault(TrainingNames.IsGradient) is { } gradient)
        {
            throw new PassException(Name, $"output '{gradient.Name}'", "a forward graph", "one with gradients",
                "Add adapters before the gradient is built.");
        }
        if (Dropout is < 0 or >= 1)
            throw new PassException(Name, "dropout", "a share from 0 below 1", $"{Dropout}", "Give another share.");
    }

    public PassResult Run(Model model, PassContext context)
    {
        var graph = model.Graph;
        var layers = LinearGemms.In(graph).Layers.Where(l => !AdapterNames.IsFactor(l.Weight.Name)).ToList();
        Layers.Check(Name, [.. layers.Select(l => l.Name)], [], AdapterShape.None);
        var rewrites = 0;
        foreach (var layer in layers)
        {
            if (Layers.For(layer.Name, AdapterShape.None) is not { Kind: not AdapterKind.None } shape)
                continue;
            if (graph.TryGetValue(AdapterNames.A(layer.Name), out _))
            {
                context.Skip(layer.Gemms[0].Node, "it has an adapter already");
                continue;
            }
            foreach (var gemm in layer.Of(GemmRole.F))
            {
                if (CanonicalGemm.WhyNot(gemm) is { } reason)
                    throw new PassException(Name, gemm.Node, layer.Name, "a product of rows of known size", reason, "Run specialize-shapes first.");
                context.Step(gemm.Node, $"{shape}");
                Adapt(graph, layer, CanonicalGemm.Make(layer, gemm), shape, rewrites);
                rewrites++;
            }
        }
        foreach (var parameter in graph.Inputs.Where(i => Save?.Matches(i.Name) == true && !AdapterNames.IsTrained(i.Name)).ToList())
        {
            graph.Rename(parameter, AdapterNames.Saved(parameter.Name));
            rewrites++;
        }
        return new PassResult(rewrites);
    }

    private void Adapt(Graph graph, LinearLayer layer, CanonicalGemm gemm, AdapterShape shape, int stream)
    {
        var (node, x, weight) = (gemm.Node, gemm.A, layer.Weight);
        var (inputs, outputs, type) = (x.Shape![-1].Size!.Value, node.Output.Shape![-1].Size!.Value, weight.Type);
        var (product, readers) = (node.Output, node.Output.Uses.ToList());
        var (before, after) = (GraphBuilder.Before(node, $"{layer.Name}/adapter"), GraphBuilder.After(node, $"{layer.Name}/adapter"));
        var a = Parameter(AdapterNames.A(layer.Name), shape.Rank, inputs);
        var b = Parameter(AdapterNames.B(layer.Name), outputs, shape.Rank);
        var read = Dropout == 0 ? x : before.Dropout(x, Scalar("dropout_seed"), Scalar("dropout_step"), Dropout, stream, "dropout");
        var rows = before.Op("down", "Gemm", [read, Cast(before, a, "a")], TransB);
        var up = before.Op("up", "Gemm", [rows, Cast(before, b, "b")], shape.Scale == 1 ? [TransB] : [Ir.Attribute.Of("alpha", (float)shape.Scale), TransB]);
        if (shape.Kind == AdapterKind.Rosa)
            up = before.Op("elements", "Gemm", [read, Cast(before, Sparse(), "s"), up], TransB);
        var y = shape.Kind == AdapterKind.Dora ? Lengthened() : after.Op("sum", "Add", [product, up]);
        foreach (var use in readers)
            use.Node.ReplaceInput(use.Index, y);
        if (product.IsGraphOutput)
            graph.ReplaceOutput(product, y);

        // S (outputs, inputs): zeros but for the elements.
        Value Sparse()
        {
            var places = graph.AddInput(new Value(AdapterNames.Places(layer.Name), ElementType.Int64, Shape.Of(shape.Elements)));
            places.Metadata[FrozenBase.HeldKey] = "true";
            var zeros = before.Op("zeros", "ConstantOfShape", [before.Constant("count", Tensor.Int64s(outputs * inputs))],
                Ir.Attribute.Of("value", Tensor.Of<byte>(type, [1], new byte[type.Bits() / 8])));
            var flat = before.Op("placed", "ScatterElements", [zeros, places, Parameter(AdapterNames.Elements(layer.Name), shape.Elements)], Ir.Attribute.Of("axis", 0L));
            return before.Op("sparse", "Reshape", [flat, before.Constant("sizes", Tensor.Int64s(outputs, inputs))]);
        }

        // With g = m / |W + s B A|: g (X W^T + U), or X W^T + (g - 1) X' W^T + g U where inputs are dropped to X'. [PEFT 0.21, DoraLinearLayer]
        Value Lengthened()
        {
            var factors = Cast(after, Factors(), "factors");
            if (Dropout == 0)
                return after.Op("lengthened", "Mul", [after.Op("sum", "Add", [product, up]), factors]);
            var dropped = after.Node("dropped", "Gemm", [read, gemm.B], 1, "", [.. node.Attributes.Values]).Output;
            var change = after.Op("change", "Mul", [after.Op("dropped_sum", "Add", [dropped, up]), factors]);
            return after.Op("sum", "Add", [product, after.Op("difference", "Sub", [change, dropped])]);
        }

        Value Parameter(string name, params long[] sizes) => graph.TryGetValue(name, out var present) ? present
            : graph.AddInput(new Value(name, type, Shape.Of(sizes)));

        Value Cast(GraphBuilder build, Value value, string name) => value.Type == x.Type ? value
            : build.Op($"{name}/{x.Type.Name()}", "Cast", [value], Ir.Attribute.Of("to", (long)x.Type));

        Value Scalar(string name) => graph.TryGetValue(name, out var present) ? present : graph.AddInput(new Value(name, ElementType.Int64, Shape.Scalar));

        // m / |W + s B A|: the gradient of Y does not go through the length. [Liu et al. 2024, section 4.3]
        Value Factors()
        {
            if (weight.Shape is not { Rank: 2 } shapeOfWeight || shapeOfWeight[0].Size != outputs || shapeOfWeight[1].Size != inputs)
            {
                throw new PassException(Name, node, layer.Name, $"a weight ({outputs}, {inputs}), as checkpoints have it", $"{weight.Shape}",
                    "Give the checkpoint that the graph was exported from.");
            }
            var merged = after.Op("merged", "Gemm", [b, a, weight], Ir.Attribute.Of("alpha", (float)shape.Scale));
            var lengths = after.Op("lengths", "ReduceL2", [merged, after.Constant("columns", Tensor.Int64s(1))], Ir.Attribute.Of("keepdims", 0L));
            return after.Op("factors", "Div", [Parameter(AdapterNames.Magnitude(layer.Name), outputs), GradientEnds.Detached(after, lengths, "detached")]);
        }
    }

    private static Ir.Attribute TransB => Ir.Attribute.Of("transB", 1L);
}
