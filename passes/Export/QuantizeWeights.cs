using Halo.Analysis;
using Halo.Building;
using Halo.Ir;
using Halo.Passes.Export.Weights;
using Halo.Passes.Infra;

namespace Halo.Passes.Export;

/// <summary>Holds the weights of linear layers in 4, 8 or 16 bits, for operators of stock ONNX Runtime that compute with float activations.</summary>
/// <remarks>
/// int4 and int8: MatMulNBits, codes in blocks along K (<see cref="BlockCoder"/>); the head has 8 bits in both. fp8: codes (N, K) with a scale for each block
/// along K (<see cref="Fp8Coder"/>), read by DequantizeLinear. fp16: rounded, read by Cast. The embedding is float16 with a Cast behind its Gather; a tied head
/// gets codes of its own.
/// MatMulNBits multiplies 4 bits by float activations, and 8 bits by activations that it rounds to 8 bits, block by block: its CPU kernel (1.31.1) has no
/// other for 8 bits but one that decodes the whole weight in every call, 500 ms and not 0.5 for 4096 x 4096. <paramref name="Activations"/> asks for one of
/// the two everywhere.
/// ONNX Runtime decodes FP8 in every call, 50 ms for 4096 x 4096, unless a session's config entry session.disable_quant_qdq is 1: then once, into float32.
/// Codes are computed while the graph is written, once. MatMulNBits has a last block that K does not fill padded by zeros; in FP8 it is shorter.
/// </remarks>
/// <param name="Format">How weights are held.</param>
/// <param name="Block">Values that share a scale, in int4, int8 and fp8: a power of two from 16.</param>
/// <param name="Activations">What int4 and int8 are multiplied by; by default Float for 4 bits and Int8 for 8 bits.</param>
public sealed record QuantizeWeights(WeightFormat Format, int Block = 32, ActivationFormat? Activations = null) : IGraphPass
{
    private const string Domain = "com.microsoft";

    /// <summary>MatMulNBits' accuracy_level: the narrowest type that activations may be rounded to. [ONNX Runtime, docs/ContribOperators.md]</summary>
    private const long Float32Level = 1, Int8Level = 4;

    /// <summary>The first with DequantizeLinear's block_size. [ONNX, docs/Changelog.md]</summary>
    private const long BlockedOpset = 21;

    public string Name => "quantize-weights";

    /// <summary>Floors of logits: below what weights keep (22 dB in 4 bits, 34 in FP8, 44 in 8, 74 in 16), as a small model's logits lose more.</summary>
    public ValueEffect Effect => new ValueEffect.Quantizing(Format switch
    {
        WeightFormat.Int4 => 8,
        WeightFormat.Fp8 => 15,
        WeightFormat.Int8 => 25,
        _ => 40,
    });

    public void Requires(Model model)
    {
        if (Activations is not null && Format is not (WeightFormat.Int4 or WeightFormat.Int8))
            throw new PassException(Name, "activations", "int4 or int8 weights, whose operator can round them", $"{Format}", "Leave the option out.");
        if (Format == WeightFormat.Fp8 && model.Opset < BlockedOpset)
        {
            throw new PassException(Name, "the opset", $"{BlockedOpset} or later, as DequantizeLinear has blocks from then on", $"{model.Opset}",
                "Run upgrade-opset first.");
        }
        if (Block < 16 || !System.Numerics.BitOperations.IsPow2(Block))
            throw new PassException(Name, "the block", "a power of two from 16", $"{Block}", "Take 32, or 128 for smaller files.");
    }

    public PassResult Run(Model model, PassContext context)
    {
        var graph = model.Graph;
        var rewrites = 0;
        var feedback = context.InputMoments is { } moments ? new ErrorFeedback(Name, moments) : null;
        foreach (var layer in LinearGemms.In(graph).Layers.Where(l => !AdapterNames.IsFactor(l.Weight.Name)))
        {
            foreach (var node in layer.Gemms.Select(g => g.Node))
                rewrites += Hold(model, node, layer, feedback, context) ? 1 : 0;
        }
        foreach (var gather in graph.Nodes.Where(IsEmbedding).ToList())
        {
            HoldEmbedding(gather);
            rewrites++;
        }
        return new PassResult(rewrites);
    }

    private bool Hold(Model model, Node node, LinearLayer layer, ErrorFeedback? feedback, PassContext context)
    {
        if (!node.Is("Gemm") || node.Int("transA", 0) != 0 || node.Int("transB", 0) != 1)
            throw new PassException(Name, node, "linear layer", "a Gemm of rows, transB = 1", node.OpType, "Run canonicalize first.");
        var held = node.Inputs[1]!;
        while (held.Producer is { } cast && cast.Is("Cast"))
            held = cast.Inputs[0]!;
        if (held.Initializer is not { } weight)
        {
            throw new PassException(Name, node, "linear layer", "a weight that the graph holds", $"'{held.Name}'", held.IsGraphInput
                ? "Run hold-parameters first." : "Run it on the forward graph as it was trained.");
        }
        if (Format == WeightFormat.Fp16 && weight.Type.Bits() <= 16)
        {
            context.Skip(node, $"its weight is {weight.Type.Name()} already");
            return false;
        }
        var bits = layer.IsHead || Format == WeightFormat.Int8 ? 8 : 4;
        context.Step(node, $"hold '{held.Name}' in {(Format is WeightFormat.Int4 or WeightFormat.Int8 ? $"{bits} bits" : Format.ToString())}");
        var build = GraphBuilder.Before(node);
        switch (Format)
        {
            case WeightFormat.Fp16:
                node.ReplaceInput(1, Half(build, node, held));
                break;
            case WeightFormat.Fp8:
                node.ReplaceInput(1, Fp8(build, held, node.Inputs[0]!.Type, feedback));
                break;
            default:
                Replacement.OfNode(node.Graph!, node, _ => Blocks(build, node, held, bits, feedback));
                model.Opsets[Domain] = 1;
                break;
        }
        DropUnread(model.Graph, held);
        return true;
    }

    private long LevelOf(int bits) =>
        (Activations ?? (bits == 8 ? ActivationFormat.Int8 : ActivationFormat.Float)) == ActivationFormat.Int8 ? Int8Level : Float32Level;

    private Value Half(GraphBuilder build, Node node, Value weight)
    {
        var half = weight.Uses.Select(u => u.Node).FirstOrDefault(n => n.Is("Cast") && n.Inputs[0] == weight);
        return half?.Output ?? build.Op("weight", "Cast",
            [Named(node.Graph!, weight, "fp16", CastBytes.Cast(Name, weight.Name, weight.Initializer!, ElementType.Float16))],
            Ir.Attribute.Of("to", (long)node.Inputs[0]!.Type));
    }

    private Value Fp8(GraphBuilder build, Value weight, ElementType type, ErrorFeedback? feedback)
    {
        var (n, k) = (weight.Initializer!.Sizes[0], weight.Initializer.Sizes[1]);
        var blocks = (k + Block - 1) / Block;
        var coder = new Fp8Rows(Block, Rounding(type));
        var coded = new CodedRows(Name, weight.Name, weight.Initializer, new RowSizes((int)k, (int)blocks, 0), type,
            feedback?.Of(weight, new Fp8Grid(Block, Rounding(type))) ?? (() => new RowCoding(1, coder.Code)));
        var graph = weight.Uses[0].Node.Graph!;
        return build.Op("weight", "DequantizeLinear",
            [Named(graph, weight, "codes", coded.Codes(ElementType.Float8E4M3FN, n, k)), Named(graph, weight, "scales", coded.Scales(n, blocks))],
            Ir.Attribute.Of("axis", 1L), Ir.Attribute.Of("block_size", (long)Block));
    }

    private Value Blocks(GraphBuilder build, Node node, Value weight, int bits, ErrorFeedback? feedback)
    {
        var (graph, type) = (node.Graph!, node.Inputs[0]!.Type);
        var (n, k) = (weight.Initializer!.Sizes[0], weight.Initializer.Sizes[1]);
        var blocks = (k + Block - 1) / Block;
        var coder = new BlockRows(Block, bits, Rounding(type));
        var coded = new CodedRows(Name, weight.Name, weight.Initializer, coder.Sizes((int)blocks), type,
            feedback?.Of(weight, new BlockGrid(Block, bits, Rounding(type))) ?? (() => new RowCoding(1, coder.Code)));
        var codes = Named(graph, weight, "codes", coded.Codes(ElementType.UInt8, n, blocks, Block * bits / 8));
        var scales = Named(graph, weight, "scales", coded.Scales(n, blocks));
        var zeros = bits == 4 ? Named(graph, weight, "zero_points", coded.Zeros(n, (blocks + 1) / 2)) : null;
        Value?[] inputs = [node.Inputs[0], codes, scales, zeros, null, node.Input(2)];
        while (inputs[^1] is null)
            inputs = inputs[..^1];
        var product = build.Op("replacement", $"{Domain}.MatMulNBits", inputs, Ir.Attribute.Of("K", k), Ir.Attribute.Of("N", n),
            Ir.Attribute.Of("bits", (long)bits), Ir.Attribute.Of("block_size", (long)Block), Ir.Attribute.Of("accuracy_level", LevelOf(bits)));
        product.Producer!.Name = node.Name;
        return product;
    }

    /// <summary>A table whose rows become activations: what is gathered goes, with its columns, to a norm or a sum.</summary>
    private static bool IsEmbedding(Node node) => node.Is("Gather") && node.Int("axis", 0) == 0
        && node.Inputs[0]!.Initializer is { Type: ElementType.Float, Sizes.Count: 2 }
        && HeldLinear.Readers(node.Output) is { } readers && readers.Any(r => r.Index == 0 && (NormNodes.Is(r.Node) || r.Node.Is("Add")));

    private void HoldEmbedding(Node gather)
    {
        var type = gather.Output.Type;
        WeightEdit.Set(new Use(gather, 0), gather.Name + ".weight", (name, tensor) => CastBytes.Cast(Name, name, tensor, ElementType.Float16));
        gather.Output.Type = ElementType.Float16;
        var cast = GraphBuilder.After(gather).Op(type.Name(), "Cast", [gather.Output], Ir.Attribute.Of("to", (long)type));
        gather.Output.ReplaceUsesWith(cast, cast.Producer!);
    }

    private static Value Named(Graph graph, Value weight, string part, Tensor tensor) => graph.AddInitializer(graph.FreeName($"{weight.Name}.{part}"), tensor);

    private static Func<float, float> Rounding(ElementType type) => type switch
    {
        ElementType.Float16 => x => (float)(Half)x,
        ElementType.Float => x => x,
        _ => throw new HaloException("quantize-weights", "the graph", "activations of float or float16", type.Name(), "Build the graph in one of them."),
    };

    private static void DropUnread(Graph graph, Value weight)
    {
        foreach (var cast in weight.Uses.Select(u => u.Node).Where(n => n.Is("Cast") && n.Output.Uses.Count == 0 && !n.Output.IsGraphOutput).ToList())
            graph.Remove(cast);
        if (weight.Uses.Count == 0 && !weight.IsGraphOutput)
            graph.RemoveInitializer(weight);
    }
}
