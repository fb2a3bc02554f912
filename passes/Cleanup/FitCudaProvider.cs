using Halo.Analysis;
using Halo.Building;
using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Passes.Cleanup;

/// <summary>Writes nodes that ONNX Runtime's own CUDA provider has no kernel for in forms that it has: the same values.</summary>
/// <remarks>
/// What it lacks was read off its kernels and seen with version 1.31.0. Padding of whole numbers and of bfloat16 becomes Slice and Concat. Operators without a
/// kernel for bfloat16 take float32 between casts: bfloat16 is a part of float32, so that what chooses or compares is exact, and the others round once.
/// </remarks>
public sealed record FitCudaProvider() : IGraphPass
{
    /// <summary>Operators that it has in float32 and not in bfloat16.</summary>
    internal static readonly HashSet<string> NotInBFloat16 =
    [
        "Log", "Reciprocal", "Floor", "ReduceMax", "ReduceMin", "ReduceL2", "ReduceLogSumExp", "ArgMax", "LogSoftmax", "Clip", "CumSum", "Equal", "Less",
        "LessOrEqual", "Greater", "GreaterOrEqual",
    ];

    public string Name => "fit-cuda-provider";

    public ValueEffect Effect => new ValueEffect.Exact();

    public PassResult Run(Model model, PassContext context)
    {
        var rewrites = 0;
        foreach (var node in model.Graph.Nodes.Where(n => n.Domain.Length == 0).ToList())
        {
            var type = node.Input(0)?.Type ?? ElementType.Undefined;
            if (node.OpType == "Pad" && (type is ElementType.BFloat16 || !type.IsFloat()))
            {
                context.Step(node, "join with constants");
                Join(model.Graph, node);
            }
            else if (type == ElementType.BFloat16 && (NotInBFloat16.Contains(node.OpType) || Adds(node)))
            {
                context.Step(node, "compute in float32");
                Widen(model.Graph, node);
            }
            else if (node.OpType == "Cast" && type == ElementType.BFloat16 && node.Output.Type is ElementType.Float8E4M3FN or ElementType.Float8E5M2)
            {
                context.Step(node, "cast by float32");
                node.ReplaceInput(0, GraphBuilder.Before(node).Op("float32", "Cast", [node.Inputs[0]], Attribute.Of("to", (long)ElementType.Float)));
            }
            else
            {
                continue;
            }
            rewrites++;
        }
        return new PassResult(rewrites);
    }

    /// <summary>Its sums by index are there in bfloat16 and fail when they run.</summary>
    private static bool Adds(Node node) => node.OpType == "ScatterND" && node.String("reduction", "none") != "none";

    /// <summary>Pad (data, pads, value) with constant pads of all axes: negative ones cut, positive ones join constants.</summary>
    private void Join(Graph graph, Node node)
    {
        var data = node.Inputs[0]!;
        if (node.String("mode", "constant") != "constant" || node.Input(1)?.Constant is not { } given || node.Input(3) is not null || data.Shape is not { } shape)
        {
            throw new PassException(Name, node, "Pad", "constant pads of all axes, which can be written as Slice and Concat",
                $"mode {node.String("mode", "constant")}, pads {(node.Input(1)?.Constant is null ? "computed" : "of some axes")}",
                "Run the graph with --provider halo.");
        }
        var value = node.Input(2)?.Constant;
        if (node.Input(2) is not null && value is null)
            throw new PassException(Name, node, "constant_value", "a constant", "a computed one", "Run the graph with --provider halo.");
        var pads = given.ToArray<long>();
        var build = GraphBuilder.Before(node);
        var result = data;
        for (var axis = 0; axis < shape.Rank; axis++)
        {
            var (before, after) = (pads[axis], pads[shape.Rank + axis]);
            if (before < 0 || after < 0)
            {
                var cut = build.Constant($"axis_{axis}", Tensor.Int64s(axis));
                var (from, to) = (build.Constant($"from_{axis}", Tensor.Int64s(Math.Max(0, -before))),
                    build.Constant($"to_{axis}", Tensor.Int64s(after < 0 ? after : long.MaxValue)));
                result = build.Op($"cut_{axis}", "Slice", [result, from, to, cut]);
            }
            if (before <= 0 && after <= 0)
                continue;
            Value?[] parts = [Filled(build, result, axis, before, value, "before"), result, Filled(build, result, axis, after, value, "after")];
            result = build.Op($"join_{axis}", "Concat", [.. parts.Where(p => p is not null)], Attribute.Of("axis", (long)axis));
        }
        node.Output.ReplaceUsesWith(result);
        if (node.Output.IsGraphOutput)
            graph.ReplaceOutput(node.Output, result);
        graph.Remove(node);
    }

    /// <summary>As x, but of `count` along the axis, each element the value; null for none.</summary>
    private Value? Filled(GraphBuilder build, Value x, int axis, long count, Tensor? value, string name)
    {
        if (count <= 0)
            return null;
        if (x.Shape is not { IsStatic: true } shape)
        {
            throw new PassException(Name, $"'{x.Name}'", "known sizes, to be padded", $"{x.Shape}", "Run the graph with --provider halo.");
        }
        long[] sizes = [.. shape.Sizes];
        sizes[axis] = count;
        var bytes = value?.ToArray<byte>() ?? new byte[x.Type.SizeBytes(1)];
        var all = new byte[x.Type.SizeBytes(sizes.Aggregate(1L, (a, b) => a * b))];
        for (var at = 0; at < all.Length; at += bytes.Length)
            bytes.CopyTo(all, at);
        return build.Constant($"{name}_{axis}", Tensor.Of<byte>(x.Type, sizes, all));
    }

    private static void Widen(Graph graph, Node node)
    {
        var build = GraphBuilder.Before(node);
        for (var i = 0; i < node.Inputs.Count; i++)
        {
            if (node.Inputs[i] is { Type: ElementType.BFloat16 } input)
                node.ReplaceInput(i, build.Op($"float32_{i}", "Cast", [input], Attribute.Of("to", (long)ElementType.Float)));
        }
        foreach (var output in node.Outputs.Where(o => o.Type == ElementType.BFloat16).ToList())
        {
            output.Type = ElementType.Float;
            var rounded = GraphBuilder.After(node, output.Name).Op("bfloat16", "Cast", [output], Attribute.Of("to", (long)ElementType.BFloat16));
            output.ReplaceUsesWith(rounded, rounded.Producer!);
            if (output.IsGraphOutput)
                graph.ReplaceOutput(output, rounded);
        }
        ShapeInference.Infer(node);
    }
}
