using System.Numerics.Tensors;
using Halo.Analysis;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Models.Optimizer;
using Halo.Models.Weights;
using Halo.Passes.Infra;
using Halo.Runner.Data;
using Halo.Runner.Plans;
using Halo.Runner.Sessions;
using Halo.Runner.Training.Engine;
using Halo.Serialization;
using Halo.Tests.Numerics;
using Halo.Training;

namespace Halo.Tests.Runner;

public class TrainingEngineTests
{
    /// <summary>The update in plain float64 loops, beside the graph that does it in place.</summary>
    private static void AdamW(double[] p, double[] m, double[] v, double[] g, int step, double lr, AdamWSettings s)
    {
        for (var i = 0; i < p.Length; i++)
        {
            m[i] = s.Beta1 * m[i] + (1 - s.Beta1) * g[i];
            v[i] = s.Beta2 * v[i] + (1 - s.Beta2) * g[i] * g[i];
            var hatM = m[i] / (1 - Math.Pow(s.Beta1, step));
            var hatV = v[i] / (1 - Math.Pow(s.Beta2, step));
            p[i] = p[i] * (1 - lr * s.WeightDecay) - lr * hatM / (Math.Sqrt(hatV) + s.Epsilon);
        }
    }

    [Theory]
    [InlineData(0.0, null, null)]
    [InlineData(0.1, 0.5, null)]
    [InlineData(5.0, null, "*norm.weight | lm_head.*")]
    public void Accumulated_updates_equal_plain_AdamW_on_the_mean_over_all_counted_tokens(double decay, double? clip, string? exclude)
    {
        var settings = new AdamWSettings(WeightDecay: decay, ClipNorm: clip, WeightDecayExclude: exclude);
        using var engine = Engine(settings, accumulates: true);
        using var probe = Engine(settings, accumulates: false);
        var whole = Batch();
        var batch = new[] { With(whole, row: 0), With(whole, row: 1), With(whole, row: 2) with { CountedTokens = 0 } }; // the last counts as empty
        var state = engine.Parameters.Parameters.ToDictionary(p => p.Name, p => Array.ConvertAll(engine.Parameters.Span(p.Name).ToArray(), x => (double)x));
        var (m, v) = (state.ToDictionary(s => s.Key, s => new double[s.Value.Length]), state.ToDictionary(s => s.Key, s => new double[s.Value.Length]));
        for (var step = 1; step <= 3; step++)
        {
            var lr = 0.01 / step;
            var counted = batch[0].CountedTokens + batch[1].CountedTokens;
            foreach (var (name, _) in engine.Parameters.Parameters)
                engine.Parameters.Span(name).CopyTo(probe.Parameters.Span(name));
            var gradient = state.ToDictionary(s => s.Key, s => new double[s.Value.Length]);
            double loss = 0;
            foreach (var micro in batch.Take(2))
            {
                loss += probe.Run(micro) * micro.CountedTokens / counted;
                foreach (var (name, sum) in gradient)
                {
                    for (var i = 0; i < sum.Length; i++)
                        sum[i] += probe.Gradients.Span(name)[i] * (double)micro.CountedTokens / counted;
                }
            }
            var norm = Math.Sqrt(gradient.Values.Sum(g => g.Sum(x => x * x)));
            var result = engine.Step(batch, step, lr);
            Assert.Equal(loss, result.Loss, Tolerances.OneOperator);
            Assert.Equal(1, result.GradientNorm / norm, Tolerances.OtherOperators);
            foreach (var (name, g) in gradient)
            {
                var factor = clip is { } limit ? Math.Min(1, limit / (norm + 1e-6)) : 1;
                var isExcluded = exclude is not null && (name.EndsWith("norm.weight", StringComparison.Ordinal) || name == "lm_head.weight");
                AdamW(state[name], m[name], v[name], Array.ConvertAll(g, x => x * factor), step, lr, isExcluded ? settings with { WeightDecay = 0 } : settings);
                Assert.True(RelativeError.Of(engine.Parameters.Span(name), Array.ConvertAll(state[name], x => (float)x)) < Tolerances.AfterUpdates, name);
                // The two differ by rounding only; taking the engine's state keeps that from growing over the steps.
                state[name] = Array.ConvertAll(engine.Parameters.Span(name).ToArray(), x => (double)x);
                m[name] = Array.ConvertAll(engine.FirstMoments.Span(name).ToArray(), x => (double)x);
                v[name] = Array.ConvertAll(engine.SecondMoments.Span(name).ToArray(), x => (double)x);
            }
        }
    }

    [Fact]
    public void A_pattern_that_excludes_no_parameter_is_refused() => Assert.Equal(
        "adamw: weight_decay_exclude: expected patterns of names of trained parameters, such as a.weight, b.weight, found '*.bias', which matches none. "
        + "Leave it out or correct it.", Assert.Throws<HaloException>(() => AdamWGraph.Build([("a.weight", Shape.Of(2)), ("b.weight", Shape.Of(2))],
            new AdamWSettings(WeightDecay: 0.1, WeightDecayExclude: "a.* | *.bias"))).Message);

    [Fact]
    public void A_loss_that_is_not_finite_stops_the_run_and_updates_nothing()
    {
        using var engine = Engine(new AdamWSettings(), accumulates: false);
        engine.Parameters.Span("model.norm.weight")[0] = float.NaN;
        var before = engine.Parameters.Span("lm_head.weight").ToArray();
        var e = Assert.Throws<TrainingFailedException>(() => engine.Step([Batch()], 12, 0.1));
        Assert.Contains("step 12, rank 0: expected a finite loss, found NaN", e.Message, StringComparison.Ordinal);
        Assert.Equal(before, engine.Parameters.Span("lm_head.weight").ToArray());
        Assert.All(engine.FirstMoments.Parameters, p => Assert.Equal(0, TensorPrimitives.MaxMagnitude<float>(engine.FirstMoments.Span(p.Name))));
    }

    /// <summary>Sums in the training graph, each behind its gradient, beside the graph that sums all gradients when the other is done.</summary>
    [Fact]
    public void Sums_in_the_backward_part_have_the_bits_of_those_behind_it()
    {
        var settings = new AdamWSettings(ClipNorm: 0.5);
        using var behind = Engine(settings, accumulates: true);
        using var within = Engine(settings, accumulates: true, sums: true);
        Assert.Empty(within.Gradients.Parameters);
        var whole = Batch();
        for (var step = 1; step <= 3; step++)
        {
            MicroBatch[] batch = [With(whole, row: 0), With(whole, row: 1), With(whole, row: 2)];
            Assert.Equal(behind.Step(batch[..step], step, 0.01), within.Step(batch[..step], step, 0.01));
        }
        foreach (var (name, _) in behind.Parameters.Parameters)
        {
            Assert.Equal(behind.Parameters.Bytes(name), within.Parameters.Bytes(name));
            Assert.Equal(behind.SecondMoments.Bytes(name), within.SecondMoments.Bytes(name));
        }
    }

    private static TrainingEngine Engine(AdamWSettings settings, bool accumulates, bool sums = false)
    {
        var path = ExportFixture.File("llama2-mha", "training.onnx");
        var model = OnnxReader.Read(path, HaloOperators.Catalogue);
        var @interface = TrainingInterface.Of(model.Graph, path, GraphDevice.Cpu);
        PassManager.Run(model, Pipelines.Parse("upgrade-opset"), new PassOptions());
        if (sums)
            model = TrainingPlan.AsRun(new TrainConfig { Model = path, BatchSize = @interface.Rows + 1 }, model, @interface, settings).Training;
        var optimizer = OnnxWriter.ToBytes(AdamWGraph.Build(@interface.Trained, settings));
        var engine = new TrainingEngine(@interface, GraphSession.Of("training.onnx", model, new SessionSettings()), optimizer, accumulates, threads: 0);
        using var weights = SafetensorsFile.Open(ExportFixture.File("llama2-mha", "model.safetensors"));
        engine.Parameters.Load(weights.Path, weights.Tensors);
        return engine;
    }

    private static MicroBatch Batch()
    {
        using var file = SafetensorsFile.Open(ExportFixture.File("llama2-mha", "expected.safetensors"));
        return Counted(new MicroBatch(TrainingInterface.Required.ToDictionary(i => i.Role, i => file.ReadLongs(i.Name)), 0, 0));
    }

    /// <summary>The batch with the labels of one row only.</summary>
    private static MicroBatch With(MicroBatch batch, int row) =>
        Counted(batch.With(BatchRole.Labels, [.. batch[BatchRole.Labels].Select((l, i) => i / 24 == row ? l : TrainingNames.IgnoredLabel)]));

    private static MicroBatch Counted(MicroBatch batch) =>
        batch with { CountedTokens = batch[BatchRole.Labels].Where((l, i) => l != TrainingNames.IgnoredLabel && i % 24 > 0).Count() };
}
