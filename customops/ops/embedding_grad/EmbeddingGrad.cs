using Halo.Building;
using Halo.Ir;

namespace Halo.CustomOps;

/// <summary>The gradient of a table of rows that a Gather took by number.</summary>
/// <remarks>
/// dY (N, C), float32, float16 or bfloat16; ids (N) int64, from the end where negative -> dWeight (V, C), float32 or the type of dY.
/// Attributes: rows, V; to, the type of dWeight as ONNX numbers it. dWeight[v] = the sum of dY[i] over ids[i] = v, 0 where there is none, summed in float32
/// and rounded once. The kernel of the CPU adds in the order of i, as ScatterElements does; that of a GPU in pieces of 32, so that a row that owns thousands
/// of them takes no longer than others. Both give the same bits every time.
/// An id outside [-V, V) is an error of the native kernel and of the function body; on a GPU the first element becomes NaN.
/// Attributes of a part of a table, of which others have the rest: of, V of the whole table, and first, its row that this part begins with. Ids are those of the
/// whole table; what goes to rows of other parts is left out.
/// </remarks>
public sealed class EmbeddingGrad : HaloOperator
{
    public override string OpType => nameof(EmbeddingGrad);

    public override string Schema =>
        "EmbeddingGrad(dY: T, ids: I) -> dWeight: R; T: float, float16, bfloat16; I: int64; R: float, float16, bfloat16";

    public static string Overload(ElementType type, ElementType to, bool isPart = false)
    {
        var types = type == ElementType.Float && to == ElementType.Float ? "" : to == ElementType.Float ? type.Name() : $"{type.Name()}_{to.Name()}";
        return !isPart ? types : types.Length == 0 ? "part" : types + "_part";
    }

    public override void InferShapes(Node node)
    {
        var (dY, ids) = (node.Inputs[0]!, node.Inputs[1]!);
        node.Output.Type = To(node);
        if (dY.Shape is not { } shape)
            return;
        if (shape.Rank != 2)
            throw new HaloException("embedding-grad", node.ToString(), "dY (N, C)", $"{shape}", "Reshape it to rows.");
        ShapeRule.Require("embedding-grad", node, ids, "ids", new Shape([shape[0]]), "Reshape them to one axis.");
        var (rows, first) = (node.Int("rows", 0), node.Int("first", 0));
        if (node.Int("of", rows) is var of && (first < 0 || first + rows > of))
            throw new HaloException("embedding-grad", node.ToString(), $"rows of a table of {of}", $"{rows} from {first} on", "Shard the graph again.");
        node.Output.Shape = new Shape([node.Int("rows", 0), shape[1]]);
    }

    public override FunctionBody Body(Node node)
    {
        var isPart = IsPart(node);
        var body = new FunctionBody("dY", "ids") { AttributeNames = isPart ? ["rows", "to", "first", "of"] : ["rows", "to"] };
        var dY = body.ToFloat("d", body.Input(0), node.Inputs[0]!.Type);
        var one = body.Constant("1", Tensor.Int64s(1));
        var all = Number(isPart ? "of" : "rows");
        var sizes = body.Op("sizes", "Concat", [body.Op("height", "Reshape", [all, one]), body.Op("width", "Shape", [dY], Attribute.Of("start", 1L))],
            Attribute.Of("axis", 0L));
        var zeros = body.Op("zeros", "Expand", [body.Constant("zero", Tensor.Scalar(0f)), sizes]);
        var index = body.Op("index", "Expand", [body.Op("column", "Unsqueeze", [body.Input(1), one]), body.Op("shape", "Shape", [dY])]);
        var sum = body.Op("sum", "ScatterElements", [zeros, index, dY], Attribute.Of("axis", 0L), Attribute.Of("reduction", "add"));
        if (isPart)
        {
            var begin = body.Op("begin", "Reshape", [Number("first"), one]);
            var end = body.Op("end", "Add", [begin, body.Op("part", "Reshape", [Number("rows"), one])]);
            sum = body.Op("part_of_sum", "Slice", [sum, begin, end, body.Constant("axis", Tensor.Int64s(0))]);
        }
        return body.Output("dWeight", body.FromFloat("rounded", sum, To(node)));

        Value Number(string attribute) => body.Op(attribute, "Constant", [], Attribute.Reference("value_int", AttributeKind.Int, attribute));
    }

    private static bool IsPart(Node node) => node.Attributes.ContainsKey("of");

    private static ElementType To(Node node)
    {
        var to = (ElementType)node.Int("to", (long)ElementType.Float);
        return to == ElementType.Float || to == node.Inputs[0]!.Type ? to : throw new HaloException("embedding-grad", node.ToString(),
            $"a gradient in float or {node.Inputs[0]!.Type.Name()}, the type of dY", to.Name(), "Cast dY before.");
    }
}

/// <summary>Makes <see cref="CustomOps.EmbeddingGrad"/> nodes.</summary>
public static class EmbeddingGradExtensions
{
    /// <summary>(<paramref name="rows"/>, C): the rows of <paramref name="dY"/> (N, C) added up by their <paramref name="ids"/> (N).</summary>
    public static Value EmbeddingGrad(this GraphBuilder build, Value dY, Value ids, long rows, ElementType to, string name)
    {
        _ = HaloOperators.OverloadOf("embedding-grad", dY);
        return HaloOperators.Call(build, name, nameof(EmbeddingGrad), [dY, ids], 1, CustomOps.EmbeddingGrad.Overload(dY.Type, to),
            Attribute.Of("rows", rows), Attribute.Of("to", (long)to)).Output;
    }

    /// <summary>The rows of that from <paramref name="first"/> on, <paramref name="rows"/> of them, where the whole has <paramref name="of"/>.</summary>
    public static Value EmbeddingGradOfPart(this GraphBuilder build, Value dY, Value ids, long first, long rows, long of, ElementType to, string name)
    {
        _ = HaloOperators.OverloadOf("embedding-grad", dY);
        return HaloOperators.Call(build, name, nameof(EmbeddingGrad), [dY, ids], 1, CustomOps.EmbeddingGrad.Overload(dY.Type, to, isPart: true),
            Attribute.Of("rows", rows), Attribute.Of("to", (long)to), Attribute.Of("first", first), Attribute.Of("of", of)).Output;
    }
}
