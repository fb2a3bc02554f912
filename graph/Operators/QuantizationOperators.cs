using Halo.Ir;

namespace Halo.Operators;

/// <summary>ONNX's own quantization: the code type is that of the zero point, or an attribute from opset 21 on.</summary>
internal static class QuantizationOperators
{
    public static IReadOnlyList<OperatorFacts> Facts { get; } =
    [
        new("", "QuantizeLinear") { Shapes = i => i.Set(i.Node.Input(2) is not null ? i.Type(2) : OutputType(i, ElementType.UInt8), i.Shape(0)) },
        new("", "DequantizeLinear") { Shapes = i => i.Set(OutputType(i, i.Type(1)), i.Shape(0)) },
        new("", "DynamicQuantizeLinear")
        {
            Shapes = i =>
            {
                i.Set(0, ElementType.UInt8, i.Shape(0));
                i.Set(1, ElementType.Float, Shape.Scalar);
                i.Set(2, ElementType.UInt8, Shape.Scalar);
            },
        },
    ];

    private static ElementType OutputType(NodeInference i, ElementType otherwise) =>
        i.Node.Int("output_dtype", 0) is var type and not 0 ? (ElementType)type : otherwise;
}
