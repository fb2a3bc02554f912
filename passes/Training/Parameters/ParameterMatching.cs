using Halo.Ir;

namespace Halo.Passes.Training.Parameters;

/// <summary>A checkpoint tensor that an initializer equals.</summary>
/// <param name="Name">The tensor's name.</param>
/// <param name="Transposed">Whether the initializer is its transpose.</param>
internal sealed record ParameterMatch(string Name, bool Transposed);

/// <summary>Which initializer holds which tensor of a checkpoint, by type, sizes and content.</summary>
/// <remarks>Tensors are read one after the other, in pieces; what no tensor has the sizes of is not read at all.</remarks>
internal sealed class ParameterMatching
{
    private readonly Dictionary<(ElementType Type, string Sizes, MatrixHash Hash), List<ParameterMatch>> _tensors = [];
    private readonly IReadOnlyDictionary<string, Tensor> _checkpoint;
    private readonly ILookup<string, string> _namesBySizes;
    private readonly HashSet<(ElementType, string)> _hashed = [];

    public ParameterMatching(IReadOnlyDictionary<string, Tensor> checkpoint) =>
        (_checkpoint, _namesBySizes) = (checkpoint, checkpoint.Keys.ToLookup(name => SizesOf(checkpoint[name].Sizes)));

    /// <summary>The tensors that equal <paramref name="initializer"/> once rounded to its type, in the checkpoint's order.</summary>
    public IReadOnlyList<ParameterMatch> Of(Value initializer)
    {
        var tensor = initializer.Initializer!;
        var sizes = SizesOf(tensor.Sizes);
        var flipped = SizesOf([.. tensor.Sizes.Reverse()]);
        Hash(sizes, tensor.Type);
        if (tensor.Sizes.Count == 2)
            Hash(flipped, tensor.Type);
        if (!_namesBySizes.Contains(sizes) && !(tensor.Sizes.Count == 2 && _namesBySizes.Contains(flipped)))
            return [];
        var found = _tensors.GetValueOrDefault((tensor.Type, sizes, MatrixHash.Of(tensor, tensor.Type).AsIs)) ?? [];
        // What equals its own transpose, such as zeros, is the tensor or its transpose by the way it is used.
        return [.. found.GroupBy(m => m.Name).Select(g => g.Count() == 1 ? g.First() : new ParameterMatch(g.Key, IsReadAsTranspose(initializer)))];
    }

    private void Hash(string sizes, ElementType type)
    {
        if (!_hashed.Add((type, sizes)))
            return;
        foreach (var name in _namesBySizes[sizes])
        {
            var tensor = _checkpoint[name];
            var (asIs, transposed) = MatrixHash.Of(tensor, type);
            Add(type, sizes, asIs, new ParameterMatch(name, false));
            if (transposed is { } hash)
                Add(type, SizesOf([.. tensor.Sizes.Reverse()]), hash, new ParameterMatch(name, true));
        }
    }

    private void Add(ElementType type, string sizes, MatrixHash hash, ParameterMatch match)
    {
        if (!_tensors.TryGetValue((type, sizes, hash), out var matches))
            _tensors.Add((type, sizes, hash), matches = []);
        matches.Add(match);
    }

    /// <summary>A product multiplies by W^T: the right operand of a MatMul, or of a Gemm that does not transpose it, is W^T.</summary>
    private static bool IsReadAsTranspose(Value value) =>
        value.Uses.Any(u => u.Index == 1 && (u.Node.Is("MatMul") || (u.Node.Is("Gemm") && u.Node.Int("transB", 0) == 0)));

    private static string SizesOf(IReadOnlyList<long> sizes) => string.Join(',', sizes);
}
