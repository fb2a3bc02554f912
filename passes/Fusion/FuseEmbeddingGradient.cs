using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Cleanup;
using Halo.Passes.Infra;

namespace Halo.Passes.Fusion;

/// <summary>Rows added to zeros by their numbers, as an embedding's gradient is, become one <see cref="EmbeddingGrad"/>.</summary>
/// <remarks>
/// ScatterElements(zeros (V, C), Expand(ids (N, 1), (N, C)), dY (N, C)) with reduction add along axis 0 becomes EmbeddingGrad(dY, ids), which reads N numbers
/// in place of N C; casts of dY from 16 bits and of the sum back to them are part of it. Stands behind order-scatter-adds, which makes this form of
/// ScatterND. What is frozen, or added to something else than zeros, stays.
/// </remarks>
public sealed record FuseEmbeddingGradient() : IGraphPass
{
    public string Name => "fuse-embedding-gradient";

    public ValueEffect Effect => new ValueEffect.Exact();

    public PassResult Run(Model model, PassContext context)
    {
        return new PassResult(model.Graph.Nodes.Where(n => n.Is("ScatterElements") && n.String("reduction", "none") == "add").ToList()
            .Count(node => Fuse(model, node, context)));
    }

    private static bool Fuse(Model model, Node node, PassContext context)
    {
        var (data, indices, updates) = (node.Inputs[0]!, node.Inputs[1]!, node.Inputs[2]!);
        if (data.Shape is not { Rank: 2, IsStatic: true } table || updates.Shape is not { Rank: 2, IsStatic: true } rows || data.Type != ElementType.Float
            || node.Int("axis", 0) is not (0 or -2) || rows.Sizes[1] != table.Sizes[1])
        {
            context.Skip(node, "not whole rows of a float32 table of fixed sizes");
            return false;
        }
        if (!IsZero(data))
        {
            context.Skip(node, "added to something else than zeros");
            return false;
        }
        if (indices.Producer is not { } expand || !expand.Is("Expand") || !updates.Shape.Equals(indices.Shape) || indices.Type != ElementType.Int64
            || expand.Inputs[0]!.Shape is not { IsStatic: true } column || !column.Equals(Shape.Of(rows.Sizes[0], 1)))
        {
            context.Skip(node, "indices that are no column of int64 numbers, one a row");
            return false;
        }
        context.Step(node, "add rows sorted by their numbers");
        var build = GraphBuilder.Before(node);
        var dY = Narrow(build, updates);
        var ids = build.Op("ids", "Reshape", [expand.Inputs[0], build.Constant("ids/shape", Tensor.Int64s(rows.Sizes[0]))]);
        // A sum that is rounded to the type of dY and read by nothing else is rounded where it is made.
        var rounding = dY.Type != ElementType.Float && node.Output is { IsGraphOutput: false, Uses: [{ Node: { } only }] } && only.Is("Cast")
            && only.Output.Type == dY.Type ? only : null;
        var last = rounding ?? node;
        Replacement.OfNode(model.Graph, last, old =>
            GraphBuilder.Before(node, "").EmbeddingGrad(dY, ids, table.Sizes[0], old.Type, old.Name + Replacement.Suffix));
        if (rounding is not null)
            model.Graph.Remove(node);
        return true;
    }

    /// <summary>What <paramref name="updates"/> were cast to float32 from, in their shape.</summary>
    private static Value Narrow(GraphBuilder build, Value updates)
    {
        if (Cast(updates) is { } direct)
            return direct;
        return updates.Producer is { } reshape && reshape.Is("Reshape") && Cast(reshape.Inputs[0]!) is { } source
            ? build.Op("rows", "Reshape", [source, reshape.Inputs[1]]) : updates;

        static Value? Cast(Value value) => value.Producer is { } cast && cast.Is("Cast") && value.Type == ElementType.Float
            && cast.Inputs[0]!.Type is ElementType.Float16 or ElementType.BFloat16 ? cast.Inputs[0] : null;
    }

    /// <summary>Whether all elements are +0, through casts and Expand.</summary>
    private static bool IsZero(Value value)
    {
        if (value.Constant is { } constant)
            return Splat.Find(constant) is { } element && element.All(b => b == 0);
        return value.Producer switch
        {
            { } node when node.Is("ConstantOfShape") => !node.Attributes.TryGetValue("value", out var content)
                || (content.ReferenceTo is null && Splat.Find(content.Tensor) is { } element && element.All(b => b == 0)),
            { } node when node.Is("Cast") || node.Is("Expand") || node.Is("Reshape") => IsZero(node.Inputs[0]!),
            _ => false,
        };
    }
}
