using Halo.Building;
using Halo.Ir;
using Halo.Operators;
using Halo.Passes.Infra;

namespace Halo.Passes.Canonical;

/// <summary>Drops nodes that only name a tensor differently: casts to the same type, reshapes in a row, transposes that cancel, parts that are the whole.</summary>
internal static class RedundantViews
{
    /// <summary>Casts to a value's own type, and from 16 bits to float32 and back.</summary>
    public static int Casts(Graph graph, PassContext context)
    {
        var rewrites = 0;
        foreach (var cast in graph.Nodes.Where(n => n.Is("Cast")).ToList())
        {
            var (input, type) = (cast.Inputs[0]!, cast.Output.Type);
            var source = input.Type == type ? input
                : input.Type == ElementType.Float && input.Producer is { } wider && wider.Is("Cast")
                    && wider.Inputs[0]!.Type == type && type.IsFloat() ? wider.Inputs[0]!
                : null;
            if (source is null || type == ElementType.Double || !Drop(graph, context, cast, source))
                continue;
            DeadNodes.Sweep(graph, [input]);
            rewrites++;
        }
        return rewrites;
    }

    /// <summary>Puts casts to 16 bits in front of the reshape that they alone read, next to what computes the value.</summary>
    public static int CastsFirst(Graph graph, PassContext context)
    {
        var rewrites = 0;
        var casts = new Stack<Node>(graph.Nodes.Where(n => n.Is("Cast")));
        while (casts.TryPop(out var cast))
        {
            var view = cast.Inputs[0]!.Producer;
            if (cast.Output.Type is not (ElementType.Float16 or ElementType.BFloat16) || cast.Inputs[0]!.Type != ElementType.Float
                || view is null || !view.Is("Reshape") || view.Output.OnlyUser != cast)
                continue;
            rewrites += Replace(graph, context, cast, build =>
            {
                var narrow = build.Op("narrow", "Cast", [view.Inputs[0]], Halo.Ir.Attribute.Of("to", (long)cast.Output.Type));
                casts.Push(narrow.Producer!);
                return build.Op("view", "Reshape", [narrow, view.Inputs[1]], [.. view.Attributes.Values]);
            });
            DeadNodes.Sweep(graph, [view.Output]);
        }
        return rewrites;
    }

    public static int Run(Graph graph, PassContext context)
    {
        var rewrites = 0;
        foreach (var node in graph.Nodes.ToList())
        {
            if (node.Graph is null || node.Inputs.Count == 0 || node.Inputs[0] is not { Shape: { IsStatic: true } from } input
                || node.Output.Shape is not { IsStatic: true } to)
                continue;
            var read = node.Inputs.OfType<Value>().ToList();
            if (Whole(node, to) is { } whole && Drop(graph, context, node, whole))
            {
                rewrites++;
            }
            else if (node.Is("Reshape"))
            {
                var source = input;
                while (source.Producer is { Facts.Role: OperatorRole.View { KeepsBytes: true } } inner
                    && inner.Inputs[0]!.Shape is { IsStatic: true })
                    source = inner.Inputs[0]!;
                if (source.Shape!.Equals(to) && Drop(graph, context, node, source))
                    rewrites++;
                else if (source != input)
                    rewrites += Replace(graph, context, node,
                        build => build.Op("view", "Reshape", [source, build.Constant("view/shape", Tensor.Int64s(to.Sizes))]));
            }
            else if (node.Is("Transpose"))
            {
                var perm = Permutation(node, from.Rank);
                if (input.Producer is { } inner && inner.Is("Transpose") && inner.Inputs[0]!.Shape is not null)
                {
                    var first = Permutation(inner, from.Rank);
                    long[] both = [.. perm.Select(p => first[p])];
                    if (!IsIdentity(both))
                        rewrites += Replace(graph, context, node,
                            build => build.Op("turned", "Transpose", [inner.Inputs[0]], Halo.Ir.Attribute.Of("perm", both)));
                    else if (Drop(graph, context, node, inner.Inputs[0]!))
                        rewrites++;
                }
                else if (IsIdentity(perm) && Drop(graph, context, node, input))
                {
                    rewrites++;
                }
            }
            DeadNodes.Sweep(graph, read);
        }
        return rewrites;
    }

    /// <summary>What a Slice of everything is cut from, or the only part of a Concat that has elements.</summary>
    private static Value? Whole(Node node, Shape to)
    {
        if (node.Is("Slice"))
            return node.Inputs[0]!.Shape!.Equals(to) && (node.Input(4) is null || node.Input(4)!.Integers() is { } steps && steps.All(s => s == 1))
                ? node.Inputs[0] : null;
        return node.Is("Concat") && node.Inputs.OfType<Value>().Where(v => v.Shape?.ElementCount is not 0).ToList() is [var only]
            && to.Equals(only.Shape) ? only : null;
    }

    private static long[] Permutation(Node transpose, int rank) =>
        transpose.Ints("perm") is { } perm ? [.. perm] : [.. Enumerable.Range(0, rank).Select(i => (long)(rank - 1 - i))];

    private static bool IsIdentity(long[] perm) => perm.Index().All(p => p.Item == p.Index);

    private static int Replace(Graph graph, PassContext context, Node node, Func<GraphBuilder, Value> make)
    {
        context.Step(node, "join or swap with the one in front");
        var build = GraphBuilder.Before(node);
        Replacement.OfNode(graph, node, _ => make(build));
        return 1;
    }

    /// <summary>Lets readers of a node read what it reads; a graph output must still have a node of its own.</summary>
    private static bool Drop(Graph graph, PassContext context, Node node, Value source)
    {
        if (node.Output.IsGraphOutput && (source.Producer is null || source.IsGraphOutput))
            return false;
        context.Step(node, "drop, it changes nothing");
        Replacement.OfNode(graph, node, _ => source);
        return true;
    }
}
