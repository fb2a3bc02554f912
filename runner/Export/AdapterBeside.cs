using Halo.Analysis;
using Halo.Ir;
using Halo.Models.Adapters;
using Halo.Models.Weights;
using Halo.Passes.Rewrite;
using Halo.Passes.Training;

namespace Halo.Runner.Export;

/// <summary>An adapter that is exported beside its base: the graph takes its factors as inputs that need not be given, the file holds them.</summary>
/// <remarks>
/// Inputs have names as in PEFT's files, and initializers of zeros as defaults: without an adapter the graph is the base. Their rank is 16 or the next power of
/// two, which adapters are filled up to by zeros (ONNX Runtime plans memory by the sizes of the defaults). Y = X W^T + (X A^T) B'^T with B' = scale B: the
/// scale is in the file, so that adapters of any alpha, and of any rank up to the graph's, go with one graph.
/// </remarks>
/// <param name="Layers">Which layers take an adapter.</param>
/// <param name="Tensors">Its parameters under the names that graphs have.</param>
internal sealed record AdapterBeside(AdapterLayers Layers, IReadOnlyDictionary<string, SafetensorsTensor> Tensors)
{
    public const string FileName = "adapter" + OnnxAdapterFile.Extension;

    private const uint LeastRank = 16;

    /// <summary>Of the graph's inputs.</summary>
    private int Rank => (int)Math.Max(LeastRank, System.Numerics.BitOperations.RoundUpToPowerOf2((uint)Layers.Layers.Max(l => l.Rank)));

    /// <summary>Throws where an adapter is more than two factors a layer.</summary>
    /// <exception cref="HaloException">It is.</exception>
    public void Check()
    {
        if (Layers.Layers.Any(l => l.Dora))
            throw Refused("LoRA, whose factors are a file beside the base", "DoRA, which scales the rows of the base itself");
        if (Layers.Saved.Count > 0)
            throw Refused("factors alone", $"modules that were trained as a whole, such as '{Layers.Saved[0].Name}'");
    }

    /// <summary>Adds to a forward graph of fixed sizes what reads the factors.</summary>
    public AddAdapters Pass => new(new LayerRules<AdapterShape>([.. Layers.Layers.Select(l => (l.Module, new AdapterShape(AdapterKind.Lora, Rank)))]));

    /// <summary>Lets the factors of an inference graph be left out: they are zeros then.</summary>
    public static void Open(Graph graph)
    {
        foreach (var input in graph.Inputs.Where(i => AdapterNames.IsFactor(i.Name)).ToList())
            graph.MakeInitializer(input, new Tensor(input.Type, input.Shape!.Sizes, new Zeros(input.Type.SizeBytes(input.Shape.ElementCount!.Value))));
    }

    /// <summary>The values of the inputs of a graph, which are float32 or float16.</summary>
    public IReadOnlyList<(string Name, Tensor Value)> Values(ElementType type) =>
    [
        .. Layers.Layers.SelectMany(layer => new[] { Of(AdapterNames.A(layer.Module), 1, type), Of(AdapterNames.B(layer.Module), (float)layer.Scale, type) }),
    ];

    /// <summary>A (rank, in) gets rows of zeros, scale B (out, rank) columns.</summary>
    private (string Name, Tensor Value) Of(string name, float scale, ElementType type)
    {
        var (tensor, isDown) = (Tensors[name], AdapterNames.IsDown(name));
        var (rows, columns) = ((int)tensor.Shape[0], (int)tensor.Shape[1]);
        var (values, width) = (tensor.ReadFloats(), isDown ? columns : Rank);
        var filled = new float[isDown ? Rank * columns : rows * Rank];
        for (var i = 0; i < values.Length; i++)
            filled[(i / columns * width) + (i % columns)] = values[i] * scale;
        long[] sizes = isDown ? [Rank, columns] : [rows, Rank];
        if (type == ElementType.Float)
            return (name, Tensor.Of<float>(type, sizes, filled));
        if (filled.FirstOrDefault(v => !Half.IsFinite((Half)v)) is var large and not 0)
            throw new HaloException("export", $"'{name}'", "values that float16 holds", $"{large}", "Export with --weights fp32.");
        return (name, Tensor.Of<Half>(ElementType.Float16, sizes, Array.ConvertAll(filled, v => (Half)v)));
    }

    private static HaloException Refused(string expected, string found) =>
        new("export", "--beside", expected, found, "Merge it with --merge instead.");

    /// <summary>Zeros that are written and not held.</summary>
    private sealed class Zeros(long bytes) : ITensorBytes
    {
        public long SizeBytes => bytes;

        public void ReadChunks(ChunkReader chunk) => chunk(new byte[bytes]);
    }
}
