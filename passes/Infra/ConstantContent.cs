using System.Text;
using Halo.Ir;

namespace Halo.Passes.Infra;

/// <summary>What a Constant node holds.</summary>
public static class ConstantContent
{
    /// <summary>The content as a tensor; null for sparse content and for attributes of a function's caller.</summary>
    public static Tensor? Of(Node constant)
    {
        var attribute = constant.Attributes.Values.FirstOrDefault(a => a.Name.StartsWith("value", StringComparison.Ordinal));
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
}
