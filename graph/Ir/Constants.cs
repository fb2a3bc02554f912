using System.Runtime.InteropServices;
using System.Text;

namespace Halo.Ir;

/// <summary>What constant values hold, read as tensors and numbers.</summary>
public static class Constants
{
    /// <summary>The content of a Constant node as a tensor; null for sparse content, for attributes of a function's caller and for other operators.</summary>
    public static Tensor? Of(Node node)
    {
        var attribute = !node.Is("Constant") ? null
            : node.Attributes.Values.FirstOrDefault(a => a.Name.StartsWith("value", StringComparison.Ordinal));
        if (attribute is null || attribute.ReferenceTo is not null)
            return null;
        return attribute.Name switch
        {
            "value" => attribute.Tensor,
            "value_int" => Tensor.Scalar(attribute.Int),
            "value_ints" => Tensor.Int64s([.. attribute.Ints]),
            "value_float" => Tensor.Scalar(attribute.Float),
            "value_floats" => Tensor.Floats([attribute.Floats.Count], [.. attribute.Floats]),
            "value_string" => Tensor.OfStrings([], [Encoding.UTF8.GetBytes(attribute.String)]),
            "value_strings" => Tensor.OfStrings([attribute.Strings.Count], [.. attribute.Strings.Select(Encoding.UTF8.GetBytes)]),
            _ => null,
        };
    }

    /// <summary>The number that a constant of one element holds; null for any other value. ConstantOfShape of one element counts.</summary>
    public static double? Number(this Value value)
    {
        var tensor = value.Constant ?? (value is { Producer: { } node, Shape.ElementCount: 1 } && node.Is("ConstantOfShape")
            ? node.Attributes.TryGetValue("value", out var element) ? element.Tensor : Tensor.Scalar(0f)
            : null);
        if (tensor is not { ElementCount: 1 })
            return null;
        var bytes = tensor.Type == ElementType.String ? [] : tensor.ToBytes();
        return tensor.Type switch
        {
            ElementType.Float => MemoryMarshal.Read<float>(bytes),
            ElementType.Double => MemoryMarshal.Read<double>(bytes),
            ElementType.Float16 => (double)MemoryMarshal.Read<Half>(bytes),
            ElementType.BFloat16 => FloatConversions.FromBFloat16(MemoryMarshal.Read<ushort>(bytes)),
            ElementType.Int64 => MemoryMarshal.Read<long>(bytes),
            ElementType.Int32 => MemoryMarshal.Read<int>(bytes),
            _ => null,
        };
    }

    /// <summary>The int64 or int32 elements that a constant holds; null for any other value.</summary>
    public static long[]? Integers(this Value value) =>
        value.Constant is { Type: ElementType.Int64 or ElementType.Int32 } tensor ? tensor.ToInt64s() : null;
}
