using Halo.Analysis;
using Halo.Ir;

namespace Halo.Tests.Scale;

/// <summary>A real training export with another number of layers and other sizes: what PyTorch would have exported for a larger model.</summary>
/// <remarks>
/// The middle layer of the export is repeated, forward and backward; the first and the last layer, the embedding, the head and the loss stand
/// as they are. With r_i the residual stream that enters layer i and d_i its gradient, layer i is what lies between r_i and r_(i+1) and
/// between d_(i+1) and d_i; the exporter writes its nodes in one piece. Shapes of values are inferred anew.
/// </remarks>
public sealed class ScaledExport
{
    private const string MiddleLayer = "model.layers.1.";
    private const string LastLayer = "model.layers.2.";

    private readonly Graph _from;
    private readonly LlamaShape _shape;
    private readonly ScaledConstants _constants;
    private readonly Graph _to;
    private readonly List<Node> _nodes;
    private readonly HashSet<Node> _middle;
    private readonly Dictionary<Value, Value> _shared = [];

    private ScaledExport(Graph from, LlamaShape shape)
    {
        (_from, _shape, _constants) = (from, shape, new ScaledConstants(shape));
        _to = new Graph(from.Name) { DocString = from.DocString };
        foreach (var (key, value) in from.Metadata)
            _to.Metadata[key] = value;
        _nodes = [.. from.Nodes];
        _middle = [.. Between(Residual(1), Residual(2)), .. Between(Gradient(2), Gradient(1))];
    }

    /// <param name="export">The fixture <c>llama3-gqa</c>; it is not changed.</param>
    /// <param name="shape">The sizes wanted; at least two layers, heads that fill the hidden size.</param>
    public static Model Make(Model export, LlamaShape shape)
    {
        if (shape.Layers < 2 || shape.Heads * shape.HeadDim != shape.Hidden || shape.HeadDim % 2 != 0 || shape.Heads % shape.KvHeads != 0)
            throw new ArgumentException($"{shape} is no LLaMA of two layers or more", nameof(shape));
        var model = new Model(new ScaledExport(export.Graph, shape).Make(), export.Operators)
        {
            IrVersion = export.IrVersion,
            ProducerName = export.ProducerName,
            ProducerVersion = export.ProducerVersion,
        };
        foreach (var (domain, version) in export.Opsets)
            model.Opsets[domain] = version;
        ShapeInference.Run(model.Graph);
        return model;
    }

    private Graph Make()
    {
        foreach (var (input, layer) in Repeated(_from.Inputs))
        {
            var copy = _to.AddInput(new Value(NameIn(layer, input.Name), input.Type, _constants.Interface(input.Shape!)));
            if (layer is null)
                _shared[input] = copy;
        }
        var layers = Enumerable.Range(1, _shape.Layers - 2).ToDictionary(layer => layer, LayerMap);

        Copy(_nodes.TakeWhile(n => n != Residual(1).Producer).Append(Residual(1).Producer!), _shared);
        var stream = _shared[Residual(1)];
        foreach (var (layer, map) in layers.OrderBy(l => l.Key))
        {
            map[Residual(1)] = stream;
            Copy(Between(Residual(1), Residual(2)), map, layer);
            stream = map[Residual(2)];
        }
        _shared[Residual(2)] = stream;
        Copy(Between(Residual(2), Gradient(2)), _shared);
        var gradient = _shared[Gradient(2)];
        foreach (var (layer, map) in layers.OrderByDescending(l => l.Key))
        {
            map[Gradient(2)] = gradient;
            Copy(Between(Gradient(2), Gradient(1)), map, layer);
            gradient = map[Gradient(1)];
        }
        _shared[Gradient(1)] = gradient;
        Copy(_nodes.SkipWhile(n => n != Gradient(1).Producer).Skip(1), _shared);

        foreach (var (output, layer) in Repeated(_from.Outputs))
        {
            var value = layer is { } l ? layers[l][output] : _shared[output];
            value.Shape = _constants.Interface(output.Shape!);
            _to.AddOutput(value);
        }
        return _to;
    }

    /// <summary>The interface in the export's order, what belongs to the middle layer once for each of its copies.</summary>
    private IEnumerable<(Value Value, int? Layer)> Repeated(IReadOnlyList<Value> values)
    {
        var middle = values.Where(v => v.Name.Contains(MiddleLayer, StringComparison.Ordinal)).ToList();
        foreach (var value in values)
        {
            if (!middle.Contains(value))
                yield return (value, null);
            else if (value == middle[0])
            {
                for (var layer = 1; layer <= _shape.Layers - 2; layer++)
                {
                    foreach (var copy in middle)
                        yield return (copy, layer);
                }
            }
        }
    }

    private Dictionary<Value, Value> LayerMap(int layer)
    {
        var map = new Dictionary<Value, Value>();
        foreach (var input in _from.Inputs.Where(i => i.Name.StartsWith(MiddleLayer, StringComparison.Ordinal)))
            map[input] = _to.Values[NameIn(layer, input.Name)];
        return map;
    }

    private void Copy(IEnumerable<Node> nodes, Dictionary<Value, Value> map, int? layer = null)
    {
        foreach (var node in nodes)
        {
            var inputs = node.Inputs.Select(v => v is null ? null : map.TryGetValue(v, out var own) ? own : Shared(v, map)).ToList();
            var outputs = node.Outputs.Select(o => map[o] = new Value(_to.FreeName(NameIn(layer, o.Name)), o.Type)).ToList();
            foreach (var (old, output) in node.Outputs.Zip(outputs))
                Copy(old.Metadata, output.Metadata);
            var copy = _to.Append(new Node(node.OpType, inputs, outputs, node.Domain, layer is null or 1 ? node.Name : $"{node.Name}_l{layer}")
                .With([.. node.Attributes.Values]));
            Copy(node.Metadata, copy.Metadata);
        }
    }

    /// <summary>What all layers read, or a constant: one that only the middle layer reads is its own, as the exporter has it.</summary>
    private Value Shared(Value value, Dictionary<Value, Value> map)
    {
        if (value.Initializer is null)
            return _shared[value];
        var home = value.Uses.All(u => _middle.Contains(u.Node)) ? map : _shared;
        return home.TryGetValue(value, out var copy) ? copy
            : home[value] = _to.AddInitializer(_to.FreeName(value.Name), _constants.Scale(value));
    }

    private string NameIn(int? layer, string name) => layer is { } l
        ? name.Replace(MiddleLayer, $"model.layers.{l}.", StringComparison.Ordinal)
        : name.Replace(LastLayer, $"model.layers.{_shape.Layers - 1}.", StringComparison.Ordinal);

    /// <summary>r_i, from what the layer's first norm does to it: weight * (r * rsqrt(mean(r^2) + epsilon)).</summary>
    private Value Residual(int layer) =>
        _from.Values[$"model.layers.{layer}.input_layernorm.weight"].Uses[0].Node.Inputs[1]!.Producer!.Inputs[0]!;

    /// <summary>d_i, from what the layer before does first: G of its last linear layer is (rows of d)^T X.</summary>
    private Value Gradient(int layer) =>
        _from.Values[$"{TrainingNames.GradientPrefix}model.layers.{layer - 1}.mlp.down_proj.weight"].Producer!.Inputs[0]!.Producer!.Inputs[0]!
            .Producer!.Inputs[0]!;

    private IEnumerable<Node> Between(Value from, Value to) =>
        _nodes.SkipWhile(n => n != from.Producer).Skip(1).TakeWhile(n => n != to.Producer).Append(to.Producer!);

    private static void Copy(SortedDictionary<string, string> from, SortedDictionary<string, string> to)
    {
        foreach (var (key, value) in from)
            to[key] = value;
    }
}
