using Halo.CustomOps;
using Halo.Ir;
using Halo.Runner.Generation;
using Halo.Runner.Sessions;
using Halo.Serialization;
using Microsoft.ML.OnnxRuntime;

namespace Halo.Tests.Runner.Generation;

/// <summary>Inference graphs that are given the lengths of rows compute what they do by their masks, and the lengths of the next step.</summary>
public sealed class GivenLengthsTests
{
    private const int Rows = 2, Tokens = 5;

    private static readonly SessionSettings Settings = new() { Operators = OperatorKernels.Functions, Optimization = GraphOptimizationLevel.ORT_DISABLE_ALL };

    [Fact]
    public void Logits_keep_their_bits_and_lengths_count_on()
    {
        long[] mask = [1, 1, 1, 1, 1, 1, 1, 1, 0, 0];
        Assert.Equal([4, 2], GivenLengths.Of(mask, Rows));
        using var plain = GraphSession.Of("plain", Read(), Settings);
        var model = Read();
        GivenLengths.AddTo(model);
        Assert.DoesNotContain(model.Graph.Nodes, n => n.Is("ReduceSum"));
        using var given = GraphSession.Of("given", model, Settings);
        using var expected = Run(plain, mask);
        using var found = Run(given, mask);
        Assert.Equal(expected[0].GetTensorDataAsSpan<float>().ToArray(), found[0].GetTensorDataAsSpan<float>().ToArray());
        Assert.Equal([5, 3], found[1].GetTensorDataAsSpan<int>().ToArray());
    }

    /// <summary>A number that is not the mask's sum, less one, is left to the graph.</summary>
    [Fact]
    public void A_graph_that_counts_otherwise_stays_as_it_is()
    {
        var model = Read();
        var less = model.Graph.Nodes.First(n => n.Is("Sub") && n.Inputs[1]!.Integers() is [1]);
        less.ReplaceInput(1, model.Graph.AddInitializer("two", Tensor.Int64s(2)));
        GivenLengths.AddTo(model);
        Assert.DoesNotContain(model.Graph.Inputs, i => i.Name == GivenLengths.Last);
        Assert.DoesNotContain(model.Graph.Outputs, o => o.Name == GivenLengths.Next);
    }

    private static Model Read() => OnnxReader.Read(Path.Combine(InferenceFixture.Folder, "model.onnx"), HaloOperators.Catalogue);

    private static IDisposableReadOnlyCollection<OrtValue> Run(GraphSession session, long[] mask)
    {
        long[] ids = [.. Enumerable.Range(0, Rows * Tokens).Select(i => (long)(31 * i % 300))];
        using var idValue = OrtValue.CreateTensorValueFromMemory(ids, [Rows, Tokens]);
        using var maskValue = OrtValue.CreateTensorValueFromMemory(mask, [Rows, Tokens]);
        session.BindInput("input_ids", idValue);
        session.BindInput("attention_mask", maskValue);
        using var lengths = DecoderSession.BindLengths(session, mask, Rows);
        var caches = session.Inputs.Where(i => InferenceInterface.LayerOf(i.Key) is not null)
            .Select(i => (i.Key, Value: GraphSession.Allocate(i.Value.ElementDataType, [Rows, i.Value.Dimensions[1], 0, i.Value.Dimensions[3]]))).ToList();
        caches.ForEach(c => session.BindInput(c.Key, c.Value));
        session.BindNewOutputs([("logits", true), .. session.Outputs.ContainsKey(GivenLengths.Next) ? [(GivenLengths.Next, true)] : Array.Empty<(string, bool)>()]);
        session.Run(GraphSession.NoRecording);
        var outputs = session.TakeOutputs();
        caches.ForEach(c => c.Value.Dispose());
        return outputs;
    }
}
