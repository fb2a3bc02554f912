using Halo.Analysis;
using Halo.Building;
using Halo.Ir;
using Halo.Passes.Infra;
using Halo.Passes.Rewrite;

namespace Halo.Passes.Training;

/// <summary>Computes the gradient of each linear weight for some of its rows alone, which an input of the graph names. [EfQAT, arXiv 2411.11038]</summary>
/// <remarks>
/// grad.W (n, k) = E^T X, E (tokens, n), becomes grad.W (c, k) = E_S^T X with E_S the c columns of E that <c>rows.W</c> (c) int64 names, from the lowest on: G takes
/// c / n of the products, F and E stay as they are. Whoever runs the graph chooses the rows, and again every so often; head, embedding and norms keep
/// their whole gradient.
/// </remarks>
/// <param name="Share">Of a weight's rows, above 0 to 1; at least one.</param>
public sealed record ChooseRows(double Share) : IGraphPass
{
    /// <summary>Begins the name of the input that names rows of a parameter.</summary>
    public const string Prefix = "rows.";

    public string Name => "choose-rows";

    /// <remarks>Of the rows whose gradient is left.</remarks>
    public ValueEffect Effect => new ValueEffect.Exact();

    public static bool IsRows(Value input) => input.Type == ElementType.Int64 && input.Name.StartsWith(Prefix, StringComparison.Ordinal);

    public void Requires(Model model)
    {
        if (Share is not (> 0 and <= 1))
            throw new PassException(Name, "share", "above 0 and at most 1", $"{Share}", "Give another share.");
    }

    public PassResult Run(Model model, PassContext context)
    {
        var graph = model.Graph;
        if (!graph.Outputs.Any(TrainingNames.IsGradient))
        {
            context.Skip($"graph '{graph.Name}'", "it has no gradients");
            return new PassResult(0);
        }
        var rewrites = 0;
        foreach (var layer in LinearGemms.In(graph).Layers.Where(l => !l.IsHead && l.Of(GemmRole.G).Any()).ToList())
        {
            if (graph.TryGetValue(Prefix + layer.Weight.Name, out _))
            {
                context.Skip(layer.Gemms[0].Node, "its rows are chosen already");
                continue;
            }
            if (layer.Of(GemmRole.G).ToList() is not [var gemm] || CanonicalGemm.WhyNot(gemm) is not null)
                throw new PassException(Name, layer.Gemms[0].Node, layer.Name, "one product that is the gradient", "several, or one of unknown sizes",
                    "Set rederive: true, or leave the choice of rows out.");
            Take(graph, layer, CanonicalGemm.Make(layer, gemm), context);
            rewrites++;
        }
        return new PassResult(rewrites);
    }

    private void Take(Graph graph, LinearLayer layer, CanonicalGemm gemm, PassContext context)
    {
        var (node, errors, gradient) = (gemm.Node, gemm.A, gemm.Node.Output);
        if (!gradient.IsGraphOutput || gradient.Uses.Count > 0 || node.Int("transA", 0) != 1 || errors.Shape is not { Rank: 2 } shape || shape[1].Size is not { } rows)
        {
            throw new PassException(Name, node, layer.Name, "a product E^T X that is the gradient itself", $"{gradient}",
                "Set rederive: true, or leave the choice of rows out.");
        }
        var count = Math.Max(1, (long)Math.Round(Share * rows));
        context.Step(node, $"{count} of {rows} rows");
        var chosen = graph.AddInput(new Value(Prefix + layer.Weight.Name, ElementType.Int64, Shape.Of(count)));
        var taken = GraphBuilder.Before(node, $"{layer.Name}/G").Op("rows", "Gather", [errors, chosen], Ir.Attribute.Of("axis", 1L));
        node.ReplaceInput(0, taken);
        gradient.Shape = new Shape([count, gradient.Shape![1]]);
    }
}
