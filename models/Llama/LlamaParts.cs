using Halo.Analysis;
using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Models.HuggingFace;

namespace Halo.Models.Llama;

/// <summary>A LLaMA's graph while it is built: its inputs, what several blocks read, and the layers that all blocks are made of.</summary>
/// <remarks>Activations are rows, (B T, C). A node is named as the module of the checkpoint that it computes.</remarks>
internal sealed class LlamaParts
{
    private readonly Dictionary<string, Value> _shapes = [];
    private readonly Dictionary<string, Value> _copies = [];
    private readonly ElementType _type;

    public LlamaParts(DecoderConfig config, int batch, int sequence, bool packed, ElementType type, ElementType parameterType)
    {
        (Config, Batch, Sequence, _type) = (config, batch, sequence, type);
        Model = new Model(new Graph("llama"), HaloOperators.Catalogue) { ProducerName = "halo", Opsets = { [""] = HaloDomain.MinOpset } };
        foreach (var (name, shape) in LlamaParameters.Of(config))
            Graph.AddInput(new Value(name, parameterType, shape));
        (InputIds, Mask, Labels) = (Integers(TrainingNames.InputIds), Integers(TrainingNames.AttentionMask), Integers(TrainingNames.Labels));
        (Positions, Documents) = packed ? (Integers(TrainingNames.PositionIds), Integers(TrainingNames.DocumentIds)) : (null, null);
        var (cos, sin) = RotaryTables.Of(config, sequence);
        (Cos, Sin) = (Graph.AddInitializer("rotary_cos", cos), Graph.AddInitializer("rotary_sin", sin));
    }

    public DecoderConfig Config { get; }

    public long Batch { get; }

    public long Sequence { get; }

    public long Rows => Batch * Sequence;

    public Model Model { get; }

    /// <summary>(B, T) int64, as <see cref="Mask"/>, <see cref="Labels"/>, <see cref="Positions"/> and <see cref="Documents"/>.</summary>
    public Value InputIds { get; }

    public Value Mask { get; }

    public Value Labels { get; }

    /// <summary>Null where token t is at position t.</summary>
    public Value? Positions { get; }

    /// <summary>Null where a row is one document.</summary>
    public Value? Documents { get; }

    /// <summary>(T, D/2) float32, D the rotated channels of a head, as <see cref="Sin"/>.</summary>
    public Value Cos { get; }

    public Value Sin { get; }

    private Graph Graph => Model.Graph;

    /// <summary>New nodes at the end of the graph, their names those of <paramref name="module"/>.</summary>
    public GraphBuilder At(string module) => GraphBuilder.AtEnd(Graph, module);

    /// <summary>The parameter in the type of the activations: itself, or the one copy that all its readers share.</summary>
    public Value Parameter(string name)
    {
        var parameter = Graph.Values[name];
        if (parameter.Type == _type)
            return parameter;
        return _copies.TryGetValue(name, out var copy) ? copy
            : _copies[name] = At(name).Op(_type.Name(), "Cast", [parameter], Attribute.Of("to", (long)_type));
    }

    /// <summary>Y (R, N) = X (R, K) W^T + bias, the parameters those of <paramref name="module"/>.</summary>
    public Value Linear(string module, Value x, bool hasBias) => Linear(module, x, $"{module}.weight", hasBias ? $"{module}.bias" : null);

    /// <summary>As above, with a weight (N, K) and perhaps a bias of any name.</summary>
    public Value Linear(string module, Value x, string weight, string? bias)
    {
        Value?[] inputs = bias is null ? [x, Parameter(weight)] : [x, Parameter(weight), Parameter(bias)];
        return At(module).Op("", "Gemm", inputs, Attribute.Of("transB", 1L));
    }

    /// <summary>x in parts of these sizes along an axis.</summary>
    public Value[] Split(string module, Value x, int axis, params ReadOnlySpan<long> sizes) =>
        [.. At(module).Node("split", "Split", [x, Sizes(sizes)], sizes.Length, "", Attribute.Of("axis", (long)axis)).Outputs];

    public Value Norm(string module, Value x) =>
        At(module).RmsNorm(x, Parameter($"{module}.weight"), (float)Config.RmsNormEpsilon, "").Y;

    /// <summary>An initializer for Reshape or Split, one for each list of sizes.</summary>
    public Value Sizes(params ReadOnlySpan<long> sizes)
    {
        var name = $"shape_{string.Join('_', sizes.ToArray())}";
        return _shapes.TryGetValue(name, out var value) ? value : _shapes[name] = Graph.AddInitializer(name, Tensor.Int64s(sizes));
    }

    private Value Integers(string name) => Graph.AddInput(new Value(name, ElementType.Int64, Shape.Of(Batch, Sequence)));
}
