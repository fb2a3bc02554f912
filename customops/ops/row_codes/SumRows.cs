using Halo.Ir;

namespace Halo.CustomOps;

/// <summary>The sum of tensors that came as codes, as a rank gets them of all others: its rows of each, one behind the other.</summary>
/// <remarks>
/// Q (parts R, ...), codes of e4m3, e5m2 or int8, E elements a row, scales (parts R, E / block) float32 -> Y (R, ...) float32. Attributes: block, as
/// <see cref="QuantizeRows"/> has it; parts, how many tensors there are. Y = q scale of the first, plus that of the second and so on, each added
/// with one rounding: the same bits each time, on a CPU and on a GPU. One part is written out as numbers.
/// </remarks>
public sealed class SumRows : HaloOperator
{
    public override string OpType => nameof(SumRows);

    public override string Schema => "SumRows(Q: C, scales: float) -> Y: float; C: float8e4m3fn, float8e5m2, int8";

    public override void InferShapes(Node node)
    {
        var (block, parts) = (QuantizeRows.BlockOf(node), node.Int("parts", 0));
        (node.Output.Type, node.Output.Shape) = (ElementType.Float, null);
        if (node.Inputs[0]!.Shape is not { } shape || new Shape(shape.Skip(1)).ElementCount is not { } elements || shape[0].Size is not { } rows)
            return;
        if (shape.Rank == 0 || block < 1 || elements % block != 0 || parts < 1 || rows % parts != 0)
        {
            throw new HaloException("sum-rows", node.ToString(), "as many rows of whole blocks of each part", $"Q {shape}, blocks of {block}, {parts} parts",
                "Give the block of the codes and the number of tensors.");
        }
        ShapeRule.Require("sum-rows", node, node.Inputs[1]!, "scales", new Shape([rows, elements / block]), "Give the scales of these codes.");
        node.Output.Shape = new Shape([rows / parts, .. shape.Skip(1)]);
    }

    public override FunctionBody Body(Node node)
    {
        var parts = (int)node.Int("parts", 0);
        var body = new FunctionBody("Q", "scales") { AttributeNames = ["block", "parts"] };
        var codes = body.Cast("codes", body.Input(0), ElementType.Float);
        var blocks = body.Op("blocks", "Reshape", [codes, body.Constant("blocked", Tensor.Int64s(0, -1, QuantizeRows.BlockOf(node)))]);
        var scales = body.Op("scale", "Unsqueeze", [body.Input(1), body.Constant("last", Tensor.Int64s(2))]);
        var numbers = body.Op("numbers", "Reshape", [body.Op("products", "Mul", [blocks, scales]), body.Op("shape", "Shape", [body.Input(0)])]);
        if (parts == 1)
            return body.Output("Y", numbers);
        var terms = body.Op("terms", "Reshape", [numbers, body.Constant("apart", Tensor.Int64s(parts, -1))]);
        Value Term(int i) => body.Op($"term{i}", "Gather", [terms, body.Constant($"index{i}", Tensor.Int64s(i))], Attribute.Of("axis", 0L));
        var sum = Enumerable.Range(1, parts - 1).Aggregate(Term(0), (total, i) => body.Op($"sum{i}", "Add", [total, Term(i)]));
        // Rows as Q has them, a part of them.
        var rest = body.Op("rest", "Shape", [body.Input(0)], Attribute.Of("start", 1L));
        var rows = body.Op("rows", "Div", [body.Op("allRows", "Shape", [body.Input(0)], Attribute.Of("start", 0L), Attribute.Of("end", 1L)),
            body.Constant("parts", Tensor.Int64s(parts))]);
        return body.Output("Y", body.Op("y", "Reshape", [sum, body.Op("sizes", "Concat", [rows, rest], Attribute.Of("axis", 0L))]));
    }
}
