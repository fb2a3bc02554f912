using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Passes.Cleanup;

/// <summary>Large constants of one repeated value become ConstantOfShape.</summary>
/// <remarks>
/// Exporters write masks and broadcast constants out in full; they grow with tokens times vocabulary and can be nearly all of a file.
/// Elements are compared as bits (NaN, -0), chunk by chunk, up to the first difference. Equal ones share a node.
/// </remarks>
/// <param name="MinBytes">Constants of so many bytes or fewer stay.</param>
public sealed record FoldSplats(long MinBytes = FoldSplats.DefaultMinBytes) : IGraphPass
{
    /// <summary>A node with its shape takes about as many bytes in a file.</summary>
    public const long DefaultMinBytes = 64;

    public string Name => "fold-splats";

    public ValueEffect Effect => new ValueEffect.Exact();

    public PassResult Run(Model model, PassContext context)
    {
        var rewrites = 0;
        foreach (var graph in Graphs.WithSubgraphs(model.Graph))
        {
            var splats = new SplatNodes(graph);
            foreach (var value in graph.Initializers.ToList())
            {
                if (Element(value.Initializer!) is { } element && CanFold(value, context))
                {
                    Replacement.OfInitializer(graph, value, splats.Make(value, value.Initializer!, element));
                    rewrites++;
                }
            }
            foreach (var node in graph.Nodes.Where(n => n.Is("Constant") && n.Attributes.ContainsKey("value")).ToList())
            {
                var tensor = node.Attributes["value"];
                if (tensor.ReferenceTo is null && Element(tensor.Tensor) is { } element && CanFold(node.Output, context))
                {
                    Replacement.OfNode(graph, node, output => splats.Make(output, tensor.Tensor, element));
                    rewrites++;
                }
            }
        }
        return new PassResult(rewrites);

        byte[]? Element(Tensor tensor) => tensor.SizeBytes > MinBytes && Splat.IsSupported(tensor.Type, model.Opset) ? Splat.Find(tensor) : null;
    }

    private static bool CanFold(Value value, PassContext context)
    {
        var reason = value.IsGraphInput ? "the caller may give another value"
            : value.IsGraphOutput ? "it is a graph output"
            : value.Uses.Count == 0 ? "nobody reads it"
            : value.Uses.FirstOrDefault(Splat.WantsInitializer) is { Node: { } node } ? $"{node} wants an initializer there"
            : null;
        if (reason is not null)
            context.Skip($"'{value.Name}' (initializer)", reason);
        return reason is null;
    }
}
