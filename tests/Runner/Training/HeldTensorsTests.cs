using Halo.CustomOps;
using Halo.Ir;
using Halo.Models.Weights;
using Halo.Runner.Plans;
using Halo.Runner.Sessions;
using Halo.Runner.Training;
using Halo.Runner.Training.Engine;

namespace Halo.Tests.Runner.Training;

/// <summary>What is held of frozen weights, computed part by part by few sessions, beside the whole graph at once.</summary>
public sealed class HeldTensorsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public HeldTensorsTests() => TinyChat.Write(_folder);

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("halo-2", "int8")]
    [InlineData("halo-1", "fp8")]
    public void Have_the_bits_of_the_whole_graph(string scheme, string format)
    {
        var plan = Plan(scheme, format);
        using var weights = CheckpointReader.Open(_folder["model"]);
        var inputs = plan.Base!.Graph.Inputs.ToDictionary(i => i.Name,
            i => Tensor.Of<float>(ElementType.Float, [.. i.Shape!.Sizes], weights.Tensors[i.Name].ReadFloats()));
        var expected = new OnnxEvaluator(OperatorKernels.Native).Evaluate(plan.Base, inputs);
        using var held = HeldTensors.Of(plan.Base, plan.Training.Graph, "model", weights.Tensors, plan.Session);
        foreach (var (output, tensor) in plan.Base.Graph.Outputs.Zip(expected))
            Assert.True(tensor.ToBytes().AsSpan().SequenceEqual(held!.Read(output.Name)), output.Name);
    }

    /// <summary>Both layers of the model share a session for each kind of weight.</summary>
    [Fact]
    public void Parts_that_differ_in_names_alone_are_alike()
    {
        var parts = AlikeParts.In(Plan("halo-1", "fp8").Base!);
        var names = parts.SelectMany(p => p.Names).ToList();
        Assert.Equal(Plan("halo-1", "fp8").Base!.Graph.Outputs.Select(o => o.Name).Order(), names.SelectMany(n => n.Outputs).Order());
        Assert.All(parts, part => Assert.Single(part.Names.Select(n => (n.Inputs.Length, n.Outputs.Length)).Distinct()));
        var projections = parts.Where(p => p.Names[0].Inputs[0].EndsWith("proj.weight", StringComparison.Ordinal)).ToList();
        Assert.Equal(14, projections.Sum(p => p.Names.Count));
        Assert.True(projections.Count <= 5, $"{projections.Count} kinds of weights");
    }

    [Fact]
    public void A_weight_that_is_missing_is_named()
    {
        var plan = Plan("halo-1", "fp8");
        using var weights = CheckpointReader.Open(_folder["model"]);
        var missing = plan.Base!.Graph.Inputs[^1].Name;
        var error = Assert.Throws<HaloException>(() => HeldTensors.Of(plan.Base, plan.Training.Graph, "model",
            weights.Tensors.Where(t => t.Key != missing).ToDictionary(StringComparer.Ordinal), plan.Session));
        Assert.Contains($"model: '{missing}'", error.Message, StringComparison.Ordinal);
    }

    private TrainingPlan Plan(string scheme, string format) => TrainingPlan.Of(TrainConfig.Parse(
        $"model: {_folder["model"]}\nadapter: {{kind: lora, rank: 2}}\nscheme: {scheme}\nformat: {format}\nmicro_batch_size: 3\nsequence_length: 24\n"), _ => { });
}
