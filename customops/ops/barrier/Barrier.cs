using Halo.Building;
using Halo.Ir;
using Halo.Operators;

namespace Halo.CustomOps;

/// <summary>A tensor as it is, but not before others have been computed.</summary>
/// <remarks>
/// X (any shape), after... (one or more tensors that are not empty) -> Y, the bits of X. A runtime orders nodes by what they read; this is how a graph
/// says that something is to wait, so that activations are computed again when they are needed and not before.
/// Y lies where X does. The body is a Reshape of X to its own shape, plus a zero that hangs on an element of each tensor to wait for, which
/// no optimization knows to be zero; there is an overload for each number of them.
/// </remarks>
public sealed class Barrier : HaloOperator
{
    public override string OpType => nameof(Barrier);

    public override string Schema => "Barrier(X: T, after...: A) -> Y: T;"
        + " T: float, float16, bfloat16, int8, int32, int64, float8e4m3fn, float8e5m2; A: float, float16, bfloat16, int8, uint8";

    public override OperatorRole Role => new OperatorRole.Ordering();

    public override void InferShapes(Node node)
    {
        foreach (var after in node.Inputs.Skip(1))
        {
            if (after!.Shape?.ElementCount == 0)
            {
                throw new HaloException("barrier", node.ToString(), "tensors with elements to wait for", $"'{after.Name}' {after.Shape}",
                    "Leave that one out.");
            }
        }
        (node.Output.Type, node.Output.Shape) = (node.Inputs[0]!.Type, node.Inputs[0]!.Shape);
    }

    public override FunctionBody Body(Node node)
    {
        var count = node.Inputs.Count - 1;
        var body = new FunctionBody([.. Enumerable.Range(0, count).Select(i => $"after{i}").Prepend("X")]);
        var (flat, first) = (body.Constant("flat", Tensor.Int64s(-1)), body.Constant("first", Tensor.Int64s(0)));
        var elements = Enumerable.Range(0, count).Select(i =>
        {
            var element = body.Op($"element{i}", "Gather", [body.Op($"flat{i}", "Reshape", [body.Input(i + 1), flat]), first]);
            return body.Cast($"number{i}", element, ElementType.Float);
        }).ToArray();
        var bit = body.Cast("bit", body.Op("isNaN", "IsNaN", [body.Op("numbers", "Concat", elements, Attribute.Of("axis", 0L))]), ElementType.Int64);
        var zero = body.Op("zero", "ReduceSum", [body.Op("zeros", "Sub", [bit, bit])], Attribute.Of("keepdims", 0L));
        var shape = body.Op("shape", "Add", [body.Op("sizes", "Shape", [body.Input(0)]), zero]);
        return body.Output("Y", body.Op("y", "Reshape", [body.Input(0), shape]));
    }
}

/// <summary>Makes <see cref="CustomOps.Barrier"/> nodes.</summary>
public static class BarrierExtensions
{
    /// <summary><paramref name="x"/>, after all of <paramref name="after"/> are there.</summary>
    public static Value Barrier(this GraphBuilder build, Value x, IReadOnlyList<Value> after, string name)
    {
        if (after.Count == 0)
            throw new HaloException("barrier", $"'{x.Name}'", "something to wait for", "nothing", "Use the value itself.");
        return HaloOperators.Call(build, name, nameof(Barrier), [x, .. after], 1, $"{after.Count}").Output;
    }
}
