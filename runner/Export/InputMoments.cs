using System.Runtime.InteropServices;
using Halo.Analysis;
using Halo.Building;
using Halo.Ir;
using Halo.Passes.Cleanup;
using Halo.Passes.Infra;
using Halo.Runner.Sessions;
using Microsoft.ML.OnnxRuntime;
using Tensor = Halo.Ir.Tensor;
using TensorPrimitives = System.Numerics.Tensors.TensorPrimitives;

namespace Halo.Runner.Export;

/// <summary>The second moments X^T X (K, K) of the inputs X of an inference graph's linear layers, summed over rows.</summary>
/// <remarks>
/// The graph gets products X^T X as outputs, so ONNX Runtime multiplies; rows run one by one, without padding. Moments are computed when one is read: all of
/// them in one sweep where they fit <see cref="SweepBytes"/>, else as many layers as fit, in order, each sweep running the graph as far as these layers. A
/// sweep's moments are held until one of another sweep is read. Twice their bytes are in memory, as each row's are made anew.
/// </remarks>
internal sealed class InputMoments
{
    /// <summary>Moments that are summed in one sweep: those of one layer of 11008 inputs take 485 MB.</summary>
    public const long SweepBytes = 1L << 30;

    private readonly Func<Model> _graph;
    private readonly IReadOnlyList<int[]> _rows;
    private readonly SessionSettings _settings;
    private readonly List<(int First, int Count)> _sweeps = [];
    private (int First, float[][] Moments)? _held;

    /// <param name="graph">Makes the inference graph, in float32.</param>
    /// <param name="rows">Token ids.</param>
    /// <param name="settings">How the graph runs.</param>
    /// <param name="sweepBytes">Bytes of a sweep's moments, unless one is larger.</param>
    public InputMoments(Func<Model> graph, IReadOnlyList<int[]> rows, SessionSettings settings, long sweepBytes = SweepBytes)
    {
        (_graph, _rows, _settings) = (graph, rows, settings);
        var byWeight = new Dictionary<string, Tensor>(StringComparer.Ordinal);
        long filled = 0;
        var inputs = InputsOf(graph());
        for (var i = 0; i < inputs.Count; i++)
        {
            var size = inputs[i].Size;
            if (_sweeps.Count == 0 || filled + (4 * size * size) > sweepBytes)
            {
                _sweeps.Add((i, 0));
                filled = 0;
            }
            _sweeps[^1] = (_sweeps[^1].First, _sweeps[^1].Count + 1);
            filled += 4 * size * size;
            var moment = new Tensor(ElementType.Float, [size, size], new Moment(this, i, 4 * size * size));
            foreach (var weight in inputs[i].Weights)
                byWeight.Add(weight, moment);
        }
        ByWeight = byWeight;
    }

    /// <summary>Float32 (K, K), one tensor for weights that read the same inputs.</summary>
    public IReadOnlyDictionary<string, Tensor> ByWeight { get; }

    /// <summary>Distinct inputs of linear layers, in the order of the layers.</summary>
    private static List<(Value Input, long Size, List<string> Weights)> InputsOf(Model model)
    {
        var found = new List<(Value Input, long Size, List<string> Weights)>();
        foreach (var node in LinearGemms.In(model.Graph).Layers.SelectMany(l => l.Gemms).Select(g => g.Node))
        {
            var (input, weight) = (node.Inputs[0]!, node.Inputs[1]!);
            if (found.FindIndex(f => f.Input == input) is >= 0 and var at)
                found[at].Weights.Add(weight.Name);
            else
                found.Add((input, weight.Initializer!.Sizes[1], [weight.Name]));
        }
        return found;
    }

    private float[] Of(int index)
    {
        var (first, count) = _sweeps.Last(s => s.First <= index);
        if (_held?.First != first)
        {
            _held = null;
            _held = (first, Sweep(first, count));
        }
        return _held.Value.Moments[index - first];
    }

    private float[][] Sweep(int first, int count)
    {
        var model = _graph();
        var inputs = InputsOf(model).Slice(first, count);
        foreach (var output in model.Graph.Outputs.ToList())
            model.Graph.RemoveOutput(output);
        for (var i = 0; i < count; i++)
        {
            var x = inputs[i].Input;
            var moment = GraphBuilder.AtEnd(model.Graph).Op($"moment.{i}", "Gemm", [x, x], Ir.Attribute.Of("transA", 1L));
            model.Graph.AddOutput(moment);
        }
        var names = model.Graph.Outputs.Select(o => o.Name).ToList();
        PassManager.Run(model, [new RemoveDeadCode()], new PassOptions());
        var sums = inputs.Select(i => new float[i.Size * i.Size]).ToArray();
        using var session = GraphSession.Of("inference graph", model, _settings);
        foreach (var row in _rows)
            Add(session, names, row, sums);
        return sums;
    }

    private static void Add(GraphSession session, List<string> names, int[] row, float[][] sums)
    {
        var bound = new List<OrtValue>();
        try
        {
            foreach (var (name, input) in session.Inputs)
            {
                var value = name switch
                {
                    TrainingNames.InputIds => OrtValue.CreateTensorValueFromMemory(Array.ConvertAll(row, id => (long)id), [1, row.Length]),
                    TrainingNames.AttentionMask => OrtValue.CreateTensorValueFromMemory(Enumerable.Repeat(1L, row.Length).ToArray(), [1, row.Length]),
                    _ => GraphSession.Allocate(input.ElementDataType, [1, input.Dimensions[1], 0, input.Dimensions[3]]),
                };
                bound.Add(value);
                session.BindInput(name, value);
            }
            session.BindNewOutputs(names.Select(name => (name, true)));
            session.Run();
            using var outputs = session.TakeOutputs();
            for (var i = 0; i < sums.Length; i++)
                TensorPrimitives.Add(sums[i], outputs[i].GetTensorDataAsSpan<float>(), sums[i]);
        }
        finally
        {
            bound.ForEach(value => value.Dispose());
        }
    }

    private sealed class Moment(InputMoments moments, int index, long size) : ITensorBytes
    {
        public long SizeBytes => size;

        public void ReadChunks(ChunkReader chunk) => chunk(MemoryMarshal.AsBytes<float>(moments.Of(index)));
    }
}
