using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Passes.Cleanup;

/// <summary>Tensors of one repeated element.</summary>
internal static class Splat
{
    /// <summary>The bytes of the element that all elements equal; null if they differ or there is none.</summary>
    public static byte[]? Find(Tensor tensor)
    {
        var width = tensor.Type.Bits() / 8;
        byte[]? element = null;
        var same = width > 0 && tensor.ElementCount > 0 && tensor.SizeBytes == tensor.ElementCount * width;
        if (!same)
            return null;
        tensor.ReadChunks(chunk =>
        {
            element ??= chunk[..width].ToArray();
            same = chunk[..width].SequenceEqual(element) && chunk[width..].SequenceEqual(chunk[..^width]); // equal to itself shifted by one element
            return same;
        });
        return same ? element : null;
    }

    /// <summary>Whether ONNX Runtime's ConstantOfShape makes this type.</summary>
    public static bool IsSupported(ElementType type, long opset) => type switch
    {
        ElementType.BFloat16 => opset >= 20,
        ElementType.Float or ElementType.Double or ElementType.Float16 or ElementType.Bool => true,
        >= ElementType.UInt8 and <= ElementType.Int64 or ElementType.UInt32 or ElementType.UInt64 => true,
        _ => false,
    };

    /// <summary>Inputs that carry shapes, axes and the like: shape inference reads them, so they stay initializers.</summary>
    public static bool WantsInitializer(Use use) => use.Node.Facts.IsShapeInput(use.Index);
}

/// <summary>The ConstantOfShape nodes of one graph, one for each type, shape and element.</summary>
internal sealed class SplatNodes(Graph graph)
{
    private readonly Dictionary<string, Value> _splats = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Value> _shapes = new(StringComparer.Ordinal);

    /// <summary>A value equal to <paramref name="tensor"/>, whose elements all are <paramref name="element"/>.</summary>
    public Value Make(Value like, Tensor tensor, byte[] element)
    {
        var sizes = string.Join(",", tensor.Sizes);
        var key = $"{tensor.Type}[{sizes}]{Convert.ToHexString(element)}";
        if (_splats.TryGetValue(key, out var splat))
            return splat;
        if (!_shapes.TryGetValue(sizes, out var shape))
            _shapes.Add(sizes, shape = graph.AddInitializer(graph.FreeName($"{like.Name}/shape"), Tensor.Int64s([.. tensor.Sizes])));
        splat = new Value(graph.FreeName(like.Name + Replacement.Suffix), tensor.Type, tensor.Shape);
        foreach (var (k, v) in like.Metadata)
            splat.Metadata[k] = v;
        var value = new Tensor(tensor.Type, [1], new MemoryBytes(element));
        graph.Prepend(new Node("ConstantOfShape", [shape], [splat], name: Graphs.FreeNodeName(graph, like.Name, replaced: like.Producer))
            .With(Attribute.Of("value", value)));
        _splats.Add(key, splat);
        return splat;
    }
}
