using Halo.Analysis;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Runner.Sessions;
using Halo.Serialization;
using Halo.Tests.Numerics;
using Halo.Text;
using Microsoft.ML.OnnxRuntime;

namespace Halo.Tests.Scale;

/// <summary>The graphs on which the rewrite is measured are right: the export itself at its sizes, a true gradient at others.</summary>
public class ScaledExportTests
{
    /// <summary>No two sizes are the same number, nor products of others that the graph also has.</summary>
    private static readonly LlamaShape Odd = new(Layers: 5, Batch: 2, Sequence: 11, Hidden: 48, Heads: 6, KvHeads: 3, Ffn: 20, Vocabulary: 37);

    private static Model Export => OnnxReader.Read(ExportFixture.File("llama3-gqa", "training.onnx"), HaloOperators.Catalogue);

    [Fact]
    public void At_the_sizes_of_the_export_it_is_the_export()
    {
        var difference = GraphDiff.Between(Export, ScaledExport.Make(Export, LlamaShape.Export));
        Assert.True(difference.IsEmpty, difference.ToText());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void The_rotary_table_is_the_one_of_the_export(bool isCosine)
    {
        var export = Export.Graph.Initializers.Select(v => v.Initializer!)
            .Single(t => t.Type == ElementType.Float && t.Sizes.Count == 4 && t.Sizes[0] == 1 && t.ToArray<float>()[0] == (isCosine ? 1 : 0));
        var shape = LlamaShape.Export;
        // PyTorch multiplies position and frequency in float32: half a rounding of an angle of up to 23.
        Assert.True(RelativeError.Of(ScaledConstants.Rotary(shape.Sequence, shape.HeadDim, isCosine ? Math.Cos : Math.Sin), export) < Tolerances.FewSums);
    }

    /// <summary>Loss along the direction v: (loss(p + h v) - loss(p - h v)) / 2h is grad . v up to h^2 and the rounding of the losses over h.</summary>
    [Fact]
    public void At_other_sizes_and_depth_the_gradient_is_that_of_the_loss()
    {
        var model = ScaledExport.Make(Export, Odd);
        var random = new Random(7);
        var inputs = Inputs(model, random);
        using var options = new SessionSettings
        {
            Optimization = GraphOptimizationLevel.ORT_DISABLE_ALL,
            Operators = OperatorKernels.Functions,
            Threads = 1,
        }.ToOptions();
        using var session = new InferenceSession(OnnxWriter.ToBytes(model), options);
        var outputs = Run(session, inputs);
        var gradients = outputs.Where(o => o.Key != TrainingNames.Loss).ToDictionary(o => o.Key[TrainingNames.GradientPrefix.Length..], o => o.Value);
        Assert.Equal(3 + 9 * Odd.Layers, gradients.Count);
        foreach (var (name, gradient) in gradients)
        {
            var g = gradient.ToArray<float>();
            var norm = Math.Sqrt(g.Sum(x => (double)x * x));
            Assert.True(norm > 1e-4, $"{name}: a gradient of norm {norm:E1}");
            // Half along the gradient, so that the slope is far from zero, half anywhere.
            var direction = Array.ConvertAll(g, x => (float)(x / norm + random.NextNormal() / Math.Sqrt(g.Length)));
            var slope = g.Zip(direction, (a, b) => (double)a * b).Sum();
            const double Step = 1e-2;
            var measured = (Loss(Step) - Loss(-Step)) / (2 * Step);
            Assert.True(Math.Abs(measured - slope) <= Tolerances.Slope * Math.Abs(slope) + Tolerances.SlopeRounding,
                $"{name}: slope {slope:E4}, by differences {measured:E4}");

            double Loss(double step)
            {
                var moved = inputs[name].ToArray<float>().Zip(direction, (p, v) => (float)(p + step * v)).ToArray();
                return Run(session, new Dictionary<string, Tensor>(inputs) { [name] = Tensor.Floats([.. inputs[name].Sizes], moved) })
                    [TrainingNames.Loss].ToArray<float>()[0];
            }
        }
    }

    [Fact]
    public void A_sparse_file_reads_as_the_model()
    {
        using var folder = new TemporaryFolder();
        var model = ScaledExport.Make(Export, Odd);
        var path = folder["sparse.onnx"];
        SparseModelFile.Write(model, path);
        var difference = GraphDiff.Between(model, OnnxReader.Read(path, HaloOperators.Catalogue));
        Assert.True(difference.IsEmpty, difference.ToText());
    }

    private static Dictionary<string, Tensor> Run(InferenceSession session, Dictionary<string, Tensor> inputs)
    {
        using var run = new RunOptions();
        var values = inputs.Where(i => session.InputMetadata.ContainsKey(i.Key)).ToDictionary(i => i.Key, i => OnnxEvaluator.ToOrtValue(i.Value));
        using var outputs = session.Run(run, values, session.OutputNames);
        foreach (var value in values.Values)
            value.Dispose();
        return session.OutputNames.Zip(outputs.Select(OnnxEvaluator.FromOrtValue)).ToDictionary();
    }

    private static Dictionary<string, Tensor> Inputs(Model model, Random random)
    {
        Tensor Draw(Value input)
        {
            var count = (int)input.Shape!.ElementCount!.Value;
            long[] Integers(Func<int, long> at) => [.. Enumerable.Range(0, count).Select(at)];
            float[] Floats(float mean, float deviation) => [.. Enumerable.Range(0, count).Select(_ => (float)(mean + deviation * random.NextNormal()))];
            var sizes = input.Shape.Sizes;
            return input.Name switch
            {
                "input_ids" => Tensor.Of<long>(ElementType.Int64, sizes, Integers(_ => random.NextInt64(Odd.Vocabulary))),
                "attention_mask" => Tensor.Of<long>(ElementType.Int64, sizes, Integers(i => i % Odd.Sequence < 8 ? 1 : 0)),
                "labels" => Tensor.Of<long>(ElementType.Int64, sizes, Integers(i => i % Odd.Sequence is 0 or > 7 ? -100 : random.NextInt64(Odd.Vocabulary))),
                var name when name.EndsWith("norm.weight", StringComparison.Ordinal) => Tensor.Floats(sizes, Floats(1, 0.1f)),
                _ => Tensor.Floats(sizes, Floats(0, 0.15f)),
            };
        }
        return model.Graph.Inputs.ToDictionary(i => i.Name, Draw);
    }
}
