using Halo.Analysis;
using Halo.Ir;
using Halo.Passes.Cleanup;
using Halo.Passes.Infra;
using Halo.Runner.Sessions;
using Microsoft.ML.OnnxRuntime;
using TensorElementType = Microsoft.ML.OnnxRuntime.Tensors.TensorElementType;

namespace Halo.Runner.Generation;

/// <summary>
/// Sizes that an inference graph computes of its inputs' sizes, for nodes that read them on the host: made inputs, which are bound as they are known.
/// </summary>
/// <remarks>
/// On a GPU ONNX Runtime puts copies to and from the host around such arithmetic, with a wait each, which no recording can hold. What is computed of the sizes of
/// input_ids (B, S) and attention_mask (B, P + S) by Shape, Concat, Squeeze, Unsqueeze, Gather and Cast is found; the session's copy of the graph alone is changed.
/// </remarks>
internal sealed class GivenSizes : IDisposable
{
    private const int MostElements = 16; // of a size, such as the shape that a Reshape makes

    private readonly IReadOnlyList<(string Name, ElementType Type, long[] Sizes, Number[] Numbers)> _inputs;

    private IReadOnlyList<OrtValue> _bound = [];

    private GivenSizes(IReadOnlyList<(string, ElementType, long[], Number[])> inputs, IReadOnlyList<string> left) => (_inputs, Left) = (inputs, left);

    /// <summary>Of a graph that was not changed.</summary>
    public static GivenSizes None => new([], ["the graph as it is"]);

    /// <summary>Whether the graph computes no sizes any more: all its nodes run where the data lie.</summary>
    public bool AreAll => Left.Count == 0;

    /// <summary>The nodes that still compute sizes, as messages name them.</summary>
    public IReadOnlyList<string> Left { get; }

    /// <summary>Names of the inputs made.</summary>
    public IEnumerable<string> Names => _inputs.Select(i => i.Name);

    /// <summary>Changes a graph of <see cref="InferenceInterface"/> in place.</summary>
    public static GivenSizes In(Model model)
    {
        var graph = model.Graph;
        ShapeInference.Run(graph);
        var found = new Dictionary<Value, Number[]?>();
        var computed = graph.Nodes.Where(n => n.Outputs.Count == 1 && Of(n.Output, found) is not null).Select(n => n.Output).ToList();
        var read = computed.Where(v => v.Uses.Any(u => !u.Node.Outputs.All(computed.Contains))).ToList();
        var inputs = new List<(string, ElementType, long[], Number[])>();
        foreach (var value in read)
        {
            var input = graph.AddInput(new Value(graph.FreeName($"sizes.{inputs.Count}"), value.Type, value.Shape));
            value.ReplaceUsesWith(input);
            inputs.Add((input.Name, value.Type, [.. value.Shape!.Select(d => d.Size!.Value)], found[value]!));
        }
        PassManager.Run(model, [new RemoveDeadCode()], new PassOptions());
        return new GivenSizes(inputs, [.. graph.Nodes.Where(n => n.OpType is "Shape" or "Size" or "NonZero").Select(n => $"'{n.Name}' ({n.OpType})")]);
    }

    /// <summary>Binds them for runs of these sizes; the bindings hold until others are made.</summary>
    /// <param name="session">Of the graph.</param>
    /// <param name="rows">B.</param>
    /// <param name="tokens">S, those that a run reads.</param>
    /// <param name="width">P + S, of the mask.</param>
    public void Bind(GraphSession session, int rows, int tokens, int width)
    {
        var values = _inputs.Select(input => Made(input.Type, input.Sizes, [.. input.Numbers.Select(n => n.Of(rows, tokens, width))])).ToList();
        foreach (var (input, value) in _inputs.Zip(values))
            session.BindInput(input.Name, value);
        Dispose();
        _bound = values;
    }

    public void Dispose()
    {
        foreach (var value in _bound)
            value.Dispose();
        _bound = [];
    }

    private static OrtValue Made(ElementType type, long[] sizes, long[] numbers)
    {
        var value = GraphSession.Allocate((TensorElementType)(int)type, sizes);
        if (type == ElementType.Int64)
            numbers.CopyTo(value.GetTensorMutableDataAsSpan<long>());
        else
            Array.ConvertAll(numbers, n => checked((int)n)).CopyTo(value.GetTensorMutableDataAsSpan<int>());
        return value;
    }

    /// <summary>The numbers that a value holds; null where they are not computed of sizes.</summary>
    private static Number[]? Of(Value value, Dictionary<Value, Number[]?> found)
    {
        if (value is not { Type: ElementType.Int64 or ElementType.Int32, Shape: { IsStatic: true, Rank: <= 1, ElementCount: <= MostElements } })
            return null;
        if (value.Integers() is { } constants)
            return [.. constants.Select(c => new Number(null, c))];
        if (!found.TryGetValue(value, out var known))
            found[value] = known = value.Producer is { Domain.Length: 0 } node ? Computed(node, found) : null;
        return known;
    }

    private static Number[]? Computed(Node node, Dictionary<Value, Number[]?> found)
    {
        Number[]? Input(int i) => node.Input(i) is { } value ? Of(value, found) : null;
        switch (node.OpType)
        {
            case "Shape":
                return Axes(node);
            case "Squeeze" or "Unsqueeze" or "Cast" or "Identity":
                return Input(0); // of one axis or none: the numbers stay
            case "Concat":
                var parts = Enumerable.Range(0, node.Inputs.Count).Select(Input).ToList();
                return parts.Contains(null) ? null : [.. parts.SelectMany(p => p!)];
            case "Gather" when node.Int("axis", 0) == 0 && node.Input(1)?.Integers() is { } places && Input(0) is { } from:
                return Array.TrueForAll(places, p => p >= -from.Length && p < from.Length) ? Array.ConvertAll(places, p => from[p < 0 ? p + from.Length : p]) : null;
            default:
                return null;
        }
    }

    private static Number[]? Axes(Node shape)
    {
        if (shape.Inputs[0] is not { IsGraphInput: true, Shape.Rank: 2 } input || input.Name is not (TrainingNames.InputIds or TrainingNames.AttentionMask))
            return null;
        var (start, end) = (Axis(shape.Int("start", 0)), Axis(shape.Int("end", 2)));
        var tokens = input.Name == TrainingNames.InputIds ? Size.Tokens : Size.Width;
        return [.. Enumerable.Range(0, 2).Where(axis => axis >= start && axis < end).Select(axis => new Number(axis == 0 ? Size.Rows : tokens, 0))];

        static long Axis(long given) => Math.Clamp(given < 0 ? given + 2 : given, 0, 2);
    }

    private enum Size
    {
        Rows,
        Tokens,
        Width,
    }

    /// <summary>A size of an input, or a number.</summary>
    private readonly record struct Number(Size? Size, long Constant)
    {
        public long Of(int rows, int tokens, int width) => Size switch
        {
            GivenSizes.Size.Rows => rows,
            GivenSizes.Size.Tokens => tokens,
            GivenSizes.Size.Width => width,
            _ => Constant,
        };
    }
}
