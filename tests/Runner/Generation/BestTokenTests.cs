using Halo.CustomOps;
using Halo.Runner.Generation;
using Halo.Runner.Sessions;
using Halo.Serialization;
using Microsoft.ML.OnnxRuntime;

namespace Halo.Tests.Runner.Generation;

/// <summary>The most likely tokens that a graph finds itself are those that the sampler finds in its logits.</summary>
public sealed class BestTokenTests
{
    private const int Rows = 2, Tokens = 5;

    [Fact]
    public void They_are_the_first_of_the_largest_logits()
    {
        var model = OnnxReader.Read(Path.Combine(InferenceFixture.Folder, "model.onnx"), HaloOperators.Catalogue);
        BestToken.AddTo(model);
        using var session = GraphSession.Of("best", model, new SessionSettings { Operators = OperatorKernels.Functions });
        Assert.True(BestToken.IsIn(session.Outputs));
        long[] ids = [.. Enumerable.Range(0, Rows * Tokens).Select(i => (long)(31 * i % 300))], mask = [.. Enumerable.Repeat(1L, Rows * Tokens)];
        using var idValue = OrtValue.CreateTensorValueFromMemory(ids, [Rows, Tokens]);
        using var maskValue = OrtValue.CreateTensorValueFromMemory(mask, [Rows, Tokens]);
        session.BindInput("input_ids", idValue);
        session.BindInput("attention_mask", maskValue);
        var caches = session.Inputs.Where(i => InferenceInterface.LayerOf(i.Key) is not null)
            .Select(i => (i.Key, Value: GraphSession.Allocate(i.Value.ElementDataType, [Rows, i.Value.Dimensions[1], 0, i.Value.Dimensions[3]]))).ToList();
        caches.ForEach(c => session.BindInput(c.Key, c.Value));
        session.BindNewOutputs([("logits", true), (BestToken.Id, true), (BestToken.Logit, true)]);
        session.Run(GraphSession.NoRecording);
        using var outputs = session.TakeOutputs();
        var logits = outputs[0].GetTensorDataAsSpan<float>();
        var (best, largest) = (outputs[1].GetTensorDataAsSpan<long>().ToArray(), outputs[2].GetTensorDataAsSpan<float>().ToArray());
        var vocabulary = logits.Length / (Rows * Tokens);
        for (var n = 0; n < Rows * Tokens; n++)
        {
            var own = logits.Slice(n * vocabulary, vocabulary);
            Assert.Equal(Sampler.Pick(own, SamplingSettings.Greedy, 0), (int)best[n]);
            Assert.Equal(own[(int)best[n]], largest[n]);
        }
        caches.ForEach(c => c.Value.Dispose());
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    [InlineData(float.NegativeInfinity)]
    public void One_that_is_not_finite_is_refused(float logit)
    {
        Assert.Equal(7, Sampler.Checked(7, 1.5f));
        Assert.Contains("expected finite numbers", Assert.Throws<InvalidOperationException>(() => Sampler.Checked(7, logit)).Message, StringComparison.Ordinal);
    }
}
