using Halo.Analysis;
using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Models.HuggingFace;
using Halo.Models.Llama;
using Halo.Models.Weights;
using Halo.Runner.Generation;

namespace Halo.Tests.Runner.Generation;

/// <summary>The inference graph of a LLaMA written down node by node, with no pass: what generation is tested on.</summary>
internal static class PlainInferenceGraph
{
    private const string Microsoft = "com.microsoft";

    /// <param name="config">The model's sizes.</param>
    /// <param name="checkpoint">Its weights.</param>
    /// <param name="positions">Rows of the rotary tables.</param>
    public static Model Build(DecoderConfig config, CheckpointReader checkpoint, int positions)
    {
        var graph = new Graph("llama");
        var model = new Model(graph, HaloOperators.Catalogue) { Opsets = { [""] = 21, [Microsoft] = 1 } };
        var ids = graph.AddInput(new Value(TrainingNames.InputIds, ElementType.Int64, Sizes("batch_size", "sequence_length")));
        var mask = graph.AddInput(new Value(TrainingNames.AttentionMask, ElementType.Int64, Sizes("batch_size", "total_sequence_length")));
        var cache = Sizes("batch_size", config.KeyValueHeads, "past_sequence_length", config.HeadDim);
        var past = InferenceInterface.PastNames(config.Layers).Select(name => graph.AddInput(new Value(name, ElementType.Float, cache))).ToList();
        foreach (var (name, sizes) in LlamaParameters.Of(config))
            graph.AddInitializer(name, Tensor.Floats(sizes.Sizes, checkpoint[name].ReadFloats()));
        var (cosTable, sinTable) = RotaryTables.Of(config, positions);
        var (cos, sin) = (graph.AddInitializer("cos_cache", cosTable), graph.AddInitializer("sin_cache", sinTable));

        var g = GraphBuilder.AtEnd(graph);
        var sum = g.Op("mask/sum", "ReduceSum", [mask, Ints("mask/axis", 1)], Attribute.Of("keepdims", 0L));
        var lengths = g.Op("mask/lengths", "Cast", [g.Op("mask/last", "Sub", [sum, Ints("mask/one", 1)])], Attribute.Of("to", (long)ElementType.Int32));
        var longest = g.Op("mask/longest", "Gather", [g.Op("mask/shape", "Shape", [mask]), g.Constant("mask/second", Tensor.Scalar(1L))]);
        var total = g.Op("mask/total", "Cast", [longest], Attribute.Of("to", (long)ElementType.Int32));
        var shape = g.Op("ids/shape", "Shape", [ids]);

        var x = Rows("embedded", g.Op("embed", "Gather", [graph.Values[LlamaParameters.Embedding], ids]), config.HiddenSize);
        for (var n = 0; n < config.Layers; n++)
        {
            var layer = $"model.layers.{n}";
            var normed = Norm($"{layer}.input_layernorm", x);
            var (q, k, v) = (Heads("q_proj"), Heads("k_proj"), Heads("v_proj"));
            var attention = g.Node($"{layer}.attention", $"{Microsoft}.GroupQueryAttention",
                [q, k, v, past[2 * n], past[(2 * n) + 1], lengths, total, cos, sin], 3, "", Attribute.Of("num_heads", (long)config.Heads),
                Attribute.Of("kv_num_heads", (long)config.KeyValueHeads), Attribute.Of("do_rotary", 1L), Attribute.Of("rotary_interleaved", 0L));
            foreach (var (output, kind) in attention.Outputs.Skip(1).Zip(["key", "value"]))
            {
                graph.Rename(output, $"present.{n}.{kind}");
                (output.Type, output.Shape) = (ElementType.Float, Sizes("batch_size", config.KeyValueHeads, "total_sequence_length", config.HeadDim));
            }
            x = Add($"{layer}.a", x, Linear($"{layer}.self_attn.o_proj", Rows($"{layer}.attended", attention.Outputs[0], (long)config.Heads * config.HeadDim)));
            var behind = Norm($"{layer}.post_attention_layernorm", x);
            var gate = Linear($"{layer}.mlp.gate_proj", behind);
            var swish = g.Op($"{layer}.swish", "Mul", [gate, g.Op($"{layer}.sigmoid", "Sigmoid", [gate])]);
            x = Add($"{layer}.m", x, Linear($"{layer}.mlp.down_proj", g.Op($"{layer}.swi_glu", "Mul", [swish, Linear($"{layer}.mlp.up_proj", behind)])));

            Value Heads(string name) => Shaped($"{layer}.{name}.tokens", Linear($"{layer}.self_attn.{name}", normed), shape);
        }
        var head = graph.Values[config.TieWordEmbeddings ? LlamaParameters.Embedding : LlamaParameters.Head];
        var logits = Shaped("tokens", g.Op("head", "Gemm", [Norm("model.norm", x), head], Attribute.Of("transB", 1L)), shape);
        graph.Rename(logits, TrainingNames.Logits);
        (logits.Type, logits.Shape) = (ElementType.Float, Sizes("batch_size", "sequence_length", config.VocabularySize));
        graph.AddOutput(logits);
        foreach (var name in InferenceInterface.PresentNames(config.Layers))
            graph.AddOutput(graph.Values[name]);
        return model;

        Value Ints(string name, params long[] values) => g.Constant(name, Tensor.Int64s(values));

        Value Add(string name, Value a, Value b) => g.Op(name, "Add", [a, b]);

        Value Norm(string module, Value rows) => g.Op(module, "SimplifiedLayerNormalization", [rows, graph.Values[$"{module}.weight"]],
            Attribute.Of("axis", -1L), Attribute.Of("epsilon", (float)config.RmsNormEpsilon), Attribute.Of("stash_type", 1L));

        Value Linear(string module, Value rows) => g.Op(module, "Gemm", [rows, graph.Values[$"{module}.weight"]], Attribute.Of("transB", 1L));

        Value Rows(string name, Value tokens, long channels) => g.Op(name, "Reshape", [tokens, Ints($"{name}/rows", -1, channels)]);

        // (B S, C) -> (B, S, C)
        Value Shaped(string name, Value rows, Value batchAndSequence) =>
            g.Op(name, "Reshape", [rows, g.Op($"{name}/shape", "Concat", [batchAndSequence, Ints($"{name}/channels", -1)], Attribute.Of("axis", 0L))]);
    }

    private static Shape Sizes(params ReadOnlySpan<object> dims)
    {
        var result = new List<Dim>();
        foreach (var dim in dims)
            result.Add(dim is string symbol ? Dim.Named(symbol) : Dim.Of(Convert.ToInt64(dim)));
        return new Shape(result);
    }
}
