using Halo.Analysis;
using Halo.Ir;

namespace Halo.Operators;

/// <summary>Which inputs of standard operators must be of one type, and which of a certain one; unknown types are passed over.</summary>
internal static class OperandTypes
{
    private static readonly int[] FirstTwo = [0, 1];
    private static readonly int[] FirstThree = [0, 1, 2];

    private static readonly Dictionary<string, int[]> SameType = new()
    {
        ["MatMul"] = FirstTwo,
        ["FusedMatMul"] = FirstTwo,
        ["Gemm"] = FirstThree,
        ["Einsum"] = FirstTwo,
        ["Add"] = FirstTwo,
        ["Sub"] = FirstTwo,
        ["Mul"] = FirstTwo,
        ["Div"] = FirstTwo,
        ["Mod"] = FirstTwo,
        ["Max"] = FirstThree,
        ["Min"] = FirstThree,
        ["Sum"] = FirstThree,
        ["Equal"] = FirstTwo,
        ["Less"] = FirstTwo,
        ["LessOrEqual"] = FirstTwo,
        ["Greater"] = FirstTwo,
        ["GreaterOrEqual"] = FirstTwo,
        ["Range"] = FirstThree,
        ["Concat"] = FirstThree,
        ["Where"] = [1, 2],
        ["Clip"] = FirstThree,
        ["Pad"] = [0, 2],
        ["ScatterND"] = [0, 2],
        ["ScatterElements"] = [0, 2],
    };

    private static readonly Dictionary<string, (int Input, ElementType[] Types)[]> OneOf = new()
    {
        ["Where"] = [(0, [ElementType.Bool])],
        ["And"] = [(0, [ElementType.Bool]), (1, [ElementType.Bool])],
        ["Or"] = [(0, [ElementType.Bool]), (1, [ElementType.Bool])],
        ["Not"] = [(0, [ElementType.Bool])],
        ["If"] = [(0, [ElementType.Bool])],
        ["Gather"] = [(1, [ElementType.Int64, ElementType.Int32])],
        ["GatherElements"] = [(1, [ElementType.Int64, ElementType.Int32])],
        ["GatherND"] = [(1, [ElementType.Int64])],
        ["ScatterND"] = [(1, [ElementType.Int64])],
        ["Reshape"] = [(1, [ElementType.Int64])],
        ["Expand"] = [(1, [ElementType.Int64])],
        ["ConstantOfShape"] = [(0, [ElementType.Int64])],
        ["Unsqueeze"] = [(1, [ElementType.Int64])],
        ["Squeeze"] = [(1, [ElementType.Int64])],
    };

    public static void Check(Node node)
    {
        if (node.Domain is not ("" or "com.microsoft"))
            return;
        if (SameType.TryGetValue(node.OpType, out var same))
        {
            var known = same.Select(node.Input).Where(v => v is not null && v.Type != ElementType.Undefined).ToArray();
            if (known.Any(v => v!.Type != known[0]!.Type))
                throw new VerifierException(node, "operands of one type", string.Join(" and ", known.Select(v => $"{v!.Type.Name()} '{v.Name}'")));
        }
        foreach (var (input, types) in OneOf.GetValueOrDefault(node.OpType, []))
        {
            if (node.Input(input) is { } value && value.Type != ElementType.Undefined && !types.Contains(value.Type))
                throw new VerifierException(node, $"input {input} of type {string.Join(" or ", types.Select(t => t.Name()))}",
                    $"{value.Type.Name()} '{value.Name}'");
        }
    }
}
