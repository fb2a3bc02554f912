using Halo.Building;
using Halo.Ir;

namespace Halo.Models.Optimizer;

/// <summary>Updates of some rows of parameters, which inputs of the optimizer's graph name: gradients and moments are those of these rows alone.</summary>
internal static class RowUpdates
{
    /// <summary>Lets an AdamW graph of rows take each whole parameter, in whose place it may write, and give it back with those rows updated.</summary>
    /// <param name="optimizer">Built with the shapes of the rows; is changed.</param>
    /// <param name="parameters">Name and shape of each such parameter, and the name of the input (c) int64 of its rows, each of them once.</param>
    public static void Apply(Model optimizer, IEnumerable<(string Name, Shape Shape, string Rows)> parameters)
    {
        var graph = optimizer.Graph;
        foreach (var (name, shape, rows) in parameters)
        {
            var parameter = graph.Inputs.First(i => i.Name == name);
            var uses = parameter.Uses.ToList();
            var chosen = graph.AddInput(new Value(rows, ElementType.Int64, new Shape([parameter.Shape![0]])));
            parameter.Shape = shape;
            var taken = GraphBuilder.Before(uses[0].Node, name).Op("rows", "Gather", [parameter, chosen]);
            foreach (var use in uses)
                use.Node.ReplaceInput(use.Index, taken);
            var updated = graph.Outputs.First(o => o.Name == AdamWGraph.Updated + name);
            var end = GraphBuilder.AtEnd(graph, name);
            var places = end.Op("places", "Unsqueeze", [chosen, end.Constant("last", Tensor.Int64s(1))]);
            graph.ReplaceOutput(updated, end.Op("updated/whole", "ScatterND", [parameter, places, updated]));
        }
    }
}
