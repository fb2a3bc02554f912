using Halo.Analysis;
using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Canonical;
using Halo.Passes.Export.Inference;
using Halo.Passes.Infra;

namespace Halo.Passes.Export;

/// <summary>Gives a forward graph of free sizes a cache of keys and values: every attention becomes ONNX Runtime's GroupQueryAttention.</summary>
/// <remarks>
/// Inputs past_key_values.i.key and .value [batch_size, G, past_sequence_length, D], outputs present.i.key and .value [batch_size, G,
/// total_sequence_length, D], i counting the attentions in the graph's order; attention_mask becomes [batch_size, total_sequence_length].
/// GroupQueryAttention rotates queries and keys itself, by tables of N rows, in layers that rotate them. Rows are padded on the right: row b has seqlens_k[b] = (sum of its mask) - 1
/// tokens before its last one, its new token stands behind them, and what the padding computes is for nobody. The CPU kernel of ONNX Runtime
/// 1.31.1 takes prompts, one token, and of a single row several tokens behind a past. [ONNX Runtime, docs/ContribOperators.md]
/// A window is one of a number of tokens, the new one among them; caches keep what lies before it as well.
/// Tables and windows are those of <see cref="PassOptions.RotaryTables"/> and <see cref="PassOptions.Windows"/>; the graph's own rows and windows must be among
/// them, but a graph of so few tokens that a window hides none has none.
/// </remarks>
/// <param name="Positions">N, the longest sequence, prompt and answer together.</param>
public sealed record CacheAttention(int Positions) : IGraphPass
{
    private const string Domain = "com.microsoft", Total = "total_sequence_length";

    /// <summary>Another order of sums in softmax and product, and tables that another program rounded.</summary>
    private const double Bound = 1e-4;

    public string Name => "cache-attention";

    public ValueEffect Effect => new ValueEffect.Reassociating(Bound);

    public void Requires(Model model)
    {
        if (Positions < 1)
            throw new PassException(Name, "positions", "at least 1", $"{Positions}", "Give the longest sequence, such as max_position_embeddings.");
        foreach (var name in new[] { TrainingNames.InputIds, TrainingNames.AttentionMask })
        {
            var input = model.Graph.Inputs.FirstOrDefault(i => i.Name == name);
            if (input?.Shape is not { Rank: 2 } shape || shape.Any(d => d.IsKnown))
            {
                throw new PassException(Name, $"input '{name}'", "free sizes, batch and sequence", input?.Shape?.ToString() ?? "no such input",
                    "Run free-shapes first.");
            }
        }
    }

    public PassResult Run(Model model, PassContext context)
    {
        var graph = model.Graph;
        var attentions = graph.Nodes.Where(n => n.Is(nameof(Attention), HaloDomain.Name)).ToList();
        if (attentions.Count == 0)
        {
            context.Skip("the graph", "it has no attention of com.halo");
            return new PassResult(0);
        }
        var mask = graph.Inputs.First(i => i.Name == TrainingNames.AttentionMask);
        var layers = attentions.ConvertAll(n => AttentionHeads.Of(n, mask, Name));
        var rotaries = layers.Select(l => l.Rotary).OfType<Node>().ToList();
        if (rotaries.Find(r => r.Inputs[1] != rotaries[0].Inputs[1] || r.Inputs[2] != rotaries[0].Inputs[2]) is { } other)
        {
            throw new PassException(Name, other, "forward", "the rotary tables of the first attention that has any", $"'{other.Inputs[1]!.Name}'",
                "Run deduplicate first.");
        }
        if (layers.FirstOrDefault(l => l.RotatedChannels != l.HeadSize && l.RotatedChannels % 16 != 0) is { Rotary: { } part } odd)
        {
            throw new PassException(Name, part, "forward", "all channels of a head rotated, or a multiple of 16 of them, as GroupQueryAttention wants",
                $"{odd.RotatedChannels} of {odd.HeadSize}", "Serve the model by another runtime: --to hf.");
        }
        var build = GraphBuilder.AfterDefinition(graph, mask, "cache");
        Value[] shared = [LastPositions(build, mask), TotalLength(build, mask)], tables = [];
        if (rotaries.Count > 0)
        {
            var (cos, sin) = RotaryCache.Of(rotaries[0], Positions, context, Name);
            var type = layers[0].Query.Type;
            tables = [RotaryCache.Add(build, "cos", cos, type), RotaryCache.Add(build, "sin", sin, type)];
        }
        var sizes = new TokenSizes(graph);
        foreach (var (i, layer) in layers.Index())
        {
            context.Step(layer.Node, $"keep keys and values of layer {i}");
            Replace(graph, layer, i, Window(layer.Node, i, context), [.. shared, .. layer.Rotary is null ? [] : tables], sizes);
        }
        mask.Shape = new Shape([mask.Shape![0], Dim.Named(Total)]);
        model.Opsets[Domain] = 1;
        graph.RemoveUnusedInitializers();
        return new PassResult(layers.Count);
    }

    /// <summary>seqlens_k: of each row, how many tokens stand before its last one, int32 (B).</summary>
    private static Value LastPositions(GraphBuilder build, Value mask)
    {
        var tokens = build.Op("tokens", "ReduceSum", [mask, build.Constant("axis", Tensor.Int64s(1))], Ir.Attribute.Of("keepdims", 0L));
        var last = build.Op("last", "Sub", [tokens, build.Constant("one", Tensor.Int64s(1))]);
        return build.Op("last_positions", "Cast", [last], Ir.Attribute.Of("to", (long)ElementType.Int32));
    }

    /// <summary>total_sequence_length: how wide the mask is, int32 ().</summary>
    private static Value TotalLength(GraphBuilder build, Value mask)
    {
        var size = build.Op("size", "Shape", [mask], Ir.Attribute.Of("start", 1L), Ir.Attribute.Of("end", 2L));
        return build.Op("total", "Cast", [build.Op("length", "Squeeze", [size])], Ir.Attribute.Of("to", (long)ElementType.Int32));
    }

    /// <summary>The window of layer i, 0 for none.</summary>
    private long Window(Node attention, int i, PassContext context)
    {
        var own = attention.Int("window", 0);
        if (context.Windows is not { } windows)
            return own;
        var said = i < windows.Count ? windows[i] : 0;
        return own == 0 || own == said ? said : throw new PassException(Name, attention, "forward", $"a window of {own} tokens, as the graph has it",
            said == 0 ? "none" : $"{said}", "Give the config.json that the model was made with: sliding_window differs.");
    }

    private static void Replace(Graph graph, AttentionHeads layer, int i, long window, Value[] shared, TokenSizes sizes)
    {
        var (node, batch) = (layer.Node, layer.Query.Shape![0]);
        var build = GraphBuilder.Before(node);
        var query = build.Op("query", "Reshape", [layer.Query, sizes.Target(Dim.Named(TokenSizes.Batch), -1, layer.Heads * layer.HeadSize)]);
        var keySizes = sizes.Target(Dim.Named(TokenSizes.Batch), -1, layer.KeyValueHeads * layer.HeadSize);
        var (key, value) = (build.Op("key", "Reshape", [layer.Key, keySizes]), build.Op("value", "Reshape", [layer.Value, keySizes]));
        Value[] past = [Past(CacheNames.Key), Past(CacheNames.Value)];
        var cached = build.Node("cached", $"{Domain}.GroupQueryAttention", [query, key, value, .. past, .. shared], 3, "",
            Ir.Attribute.Of("num_heads", layer.Heads), Ir.Attribute.Of("kv_num_heads", layer.KeyValueHeads), Ir.Attribute.Of("scale", layer.Scale),
            Ir.Attribute.Of("do_rotary", layer.Rotary is null ? 0L : 1L), Ir.Attribute.Of("rotary_interleaved", 0L));
        if (window > 0)
            cached.With(Ir.Attribute.Of("local_window_size", window));
        foreach (var (output, name) in new[] { (cached.Outputs[1], CacheNames.Key), (cached.Outputs[2], CacheNames.Value) })
        {
            graph.Rename(output, CacheNames.PresentOf(i, name));
            output.Shape = new Shape([past[0].Shape![0], layer.KeyValueHeads, Dim.Named(Total), layer.HeadSize]);
            graph.AddOutput(output);
        }
        var read = node.Inputs.OfType<Value>().ToList();
        HandOn(node, cached.Output, build.Constant("heads/shape", Tensor.Int64s(0, 0, layer.Heads, layer.HeadSize)));
        graph.Remove(node);
        DeadNodes.Sweep(graph, read);

        Value Past(string name) => graph.AddInput(new Value(CacheNames.PastOf(i, name), layer.Query.Type,
            new Shape([Dim.Named(TokenSizes.Batch), layer.KeyValueHeads, Dim.Named("past_sequence_length"), layer.HeadSize])));
    }

    /// <summary>Readers of Y (B, H, T, D) read the result (B, T, H D): through a Reshape alone where they make it (B, T, H, D) again.</summary>
    private static void HandOn(Node attention, Value result, Value headSizes)
    {
        var graph = attention.Graph!;
        var build = GraphBuilder.Before(attention);
        Value? byToken = null;
        Value ByToken() => byToken ??= build.Op("by_token", "Reshape", [result, headSizes]);
        foreach (var use in attention.Outputs[0].Uses.ToList())
        {
            if (!use.Node.Is("Transpose") || !AttentionHeads.SwapsHeadsAndTokens(use.Node) || use.Node.Output.IsGraphOutput)
            {
                use.Node.ReplaceInput(use.Index, build.Op("by_head", "Transpose", [ByToken()], Ir.Attribute.Of("perm", [0L, 2L, 1L, 3L])));
                continue;
            }
            foreach (var (reader, index) in use.Node.Output.Uses.ToList())
                reader.ReplaceInput(index, reader.Is("Reshape") && index == 0 && AttentionHeads.CopiesNoAxis(reader) ? result : ByToken());
            graph.Remove(use.Node);
        }
    }
}
