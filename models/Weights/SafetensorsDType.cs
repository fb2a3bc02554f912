using Halo.Ir;

namespace Halo.Models.Weights;

/// <summary>The dtype words of the safetensors format and the ONNX types they stand for.</summary>
internal static class SafetensorsDType
{
    private static readonly (string Word, ElementType Type)[] Words =
    [
        ("BOOL", ElementType.Bool), ("U8", ElementType.UInt8), ("I8", ElementType.Int8), ("U16", ElementType.UInt16), ("I16", ElementType.Int16),
        ("U32", ElementType.UInt32), ("I32", ElementType.Int32), ("U64", ElementType.UInt64), ("I64", ElementType.Int64),
        ("F16", ElementType.Float16), ("BF16", ElementType.BFloat16), ("F32", ElementType.Float), ("F64", ElementType.Double), ("C64", ElementType.Complex64),
        ("F8_E4M3", ElementType.Float8E4M3FN), ("F8_E5M2", ElementType.Float8E5M2), ("F8_E8M0", ElementType.Float8E8M0),
        ("F8_E4M3FNUZ", ElementType.Float8E4M3FNUZ), ("F8_E5M2FNUZ", ElementType.Float8E5M2FNUZ), ("F4", ElementType.Float4E2M1),
    ];

    private static readonly Dictionary<string, ElementType> Types = Words.ToDictionary(w => w.Word, w => w.Type);
    private static readonly Dictionary<ElementType, string> Names = Words.ToDictionary(w => w.Type, w => w.Word);

    /// <summary>Every dtype the reader and the writer know.</summary>
    internal static IEnumerable<ElementType> All => Names.Keys;

    internal static ElementType? Parse(string word) => Types.TryGetValue(word, out var type) ? type : null;

    internal static string? Word(ElementType type) => Names.GetValueOrDefault(type);
}
