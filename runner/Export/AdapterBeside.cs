using Halo.Analysis;
using Halo.Ir;
using Halo.Models.Adapters;
using Halo.Models.Weights;
using Halo.Passes.Rewrite;
using Halo.Passes.Training;

namespace Halo.Runner.Export;

/// <summary>An adapter that is exported beside its base: the graph takes its factors as inputs that need not be given, the file holds them.</summary>
/// <remarks>
/// Inputs have names as in PEFT's files, and initializers of zeros, of rank 1, as defaults: without an adapter the graph is the base. The rank of what is given
/// is free. Y = X W^T + (X A^T) B'^T with B' = scale B: the scale is in the file, so that adapters of any alpha go with one graph.
/// </remarks>
/// <param name="Layers">Which layers take an adapter.</param>
/// <param name="Tensors">Its parameters under the names that graphs have.</param>
public sealed record AdapterBeside(AdapterLayers Layers, IReadOnlyDictionary<string, SafetensorsTensor> Tensors)
{
    public const string FileName = "adapter" + OnnxAdapterFile.Extension;

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
    public AddAdapters Pass => new(new LayerRules<AdapterShape>([.. Layers.Layers.Select(l => (l.Module, new AdapterShape(AdapterKind.Lora, l.Rank)))]));

    /// <summary>Lets the factors of an inference graph be left out, and be of any rank.</summary>
    public static void Open(Graph graph)
    {
        foreach (var input in graph.Inputs.Where(i => AdapterNames.IsFactor(i.Name)).ToList())
        {
            var isDown = AdapterNames.IsDown(input.Name);
            var size = input.Shape![isDown ? 1 : 0].Size!.Value;
            var rank = Dim.Named(AdapterNames.RankOf(input.Name)); // each module's own: one adapter may give some, and the others default
            graph.MakeInitializer(input, new Tensor(input.Type, isDown ? [1, size] : [size, 1], new Zeros(size * input.Type.Bits() / 8)));
            input.Shape = isDown ? new Shape([rank, size]) : new Shape([size, rank]);
        }
        ShapeInference.Run(graph);
    }

    /// <summary>The values of the inputs of a graph, which are float32 or float16.</summary>
    public IReadOnlyList<(string Name, Tensor Value)> Values(ElementType type) =>
    [
        .. Layers.Layers.SelectMany(layer => new[] { Of(AdapterNames.A(layer.Module), 1, type), Of(AdapterNames.B(layer.Module), (float)layer.Scale, type) }),
    ];

    private (string Name, Tensor Value) Of(string name, float scale, ElementType type) => (name, In(type, name, Tensors[name], scale));

    private static Tensor In(ElementType type, string name, SafetensorsTensor tensor, float scale)
    {
        var values = Array.ConvertAll(tensor.ReadFloats(), v => v * scale);
        if (type == ElementType.Float)
            return Tensor.Of<float>(type, [.. tensor.Shape], values);
        if (values.FirstOrDefault(v => !Half.IsFinite((Half)v)) is var large and not 0)
            throw new HaloException("export", $"'{name}'", "values that float16 holds", $"{large}", "Export with --weights fp32.");
        return Tensor.Of<Half>(ElementType.Float16, [.. tensor.Shape], Array.ConvertAll(values, v => (Half)v));
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
