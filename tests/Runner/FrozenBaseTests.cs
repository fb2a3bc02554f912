using Halo.CustomOps;
using Halo.Ir;
using Halo.Models.Weights;
using Halo.Passes.Infra;
using Halo.Passes.Training;
using Halo.Runner.Plans;
using Halo.Runner.Sessions;
using Halo.Runner.Training;
using Halo.Tests.Models.Adapters;

namespace Halo.Tests.Runner;

/// <summary>What is held of a base that is frozen under adapters.</summary>
public sealed class FrozenBaseTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public FrozenBaseTests() => TinyChat.Write(_folder);

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("halo-1", "fp8", "lora")]
    [InlineData("halo-2", "int8", "dora")]
    public void Held_codes_give_the_bits_of_codes_that_are_made_in_each_step(string scheme, string format, string kind)
    {
        DrawnAdapter.Write(_folder["adapter"], new() { Rank = 2, Alpha = 4, Dora = kind == "dora", TargetPattern = "all-linear" }, _folder["model"]);
        var config = TrainConfig.Parse($"model: {_folder["model"]}\nadapter: {_folder["adapter"]}\nscheme: {scheme}\nformat: {format}\n"
            + "micro_batch_size: 3\nsequence_length: 24\n");
        var (made, held) = (TrainingPlan.Of(config, _ => { }, holds: false), TrainingPlan.Of(config, _ => { }));
        var inputs = Inputs(made.Training.Graph);
        var evaluator = new OnnxEvaluator(OperatorKernels.Native);
        var expected = evaluator.Evaluate(made.Training, inputs);
        var codes = evaluator.Evaluate(held.Base!, inputs);
        foreach (var (output, value) in held.Base!.Graph.Outputs.Zip(codes))
            inputs[output.Name] = value;
        var found = evaluator.Evaluate(held.Training, inputs);
        Assert.Equal(made.Training.Graph.Outputs.Select(o => o.Name), held.Training.Graph.Outputs.Select(o => o.Name));
        Assert.All(expected.Zip(found), pair => Assert.True(pair.First.ToBytes().AsSpan().SequenceEqual(pair.Second.ToBytes())));
    }

    /// <summary>On a GPU codes of activations are written in both orders, those that are held in one: a byte a weight.</summary>
    [Fact]
    public void For_a_GPU_codes_are_held_in_one_order_and_sums_are_taken_in_products()
    {
        var config = TrainConfig.Parse($"model: {_folder["model"]}\nadapter: {{kind: lora, rank: 2}}\nscheme: halo-0\nformat: fp8\ndevice: cuda\n"
            + "precision: bf16\nmicro_batch_size: 3\nsequence_length: 24\n");
        var plan = TrainingPlan.Of(config, _ => { });
        var held = plan.Training.Graph.Inputs.Where(FrozenBase.IsHeld).ToList();
        using var weights = CheckpointReader.Open(_folder["model"]);
        var linear = weights.Tensors.Values.Where(t => t.Name.EndsWith("proj.weight", StringComparison.Ordinal)).Sum(t => t.ElementCount);
        Assert.Equal(linear, held.Where(v => v.Type.IsFloat8()).Sum(v => v.Shape!.ElementCount!.Value));
        var products = plan.Training.Graph.Nodes.Where(n => n.Is(nameof(ScaledMatMul), HaloDomain.Name)).ToList();
        Assert.All(products.Where(p => p.Name.EndsWith("/F/scaled_matmul", StringComparison.Ordinal)), p => Assert.Equal(5, p.Inputs.Count));
    }

    private Dictionary<string, Tensor> Inputs(Graph graph)
    {
        var tokens = Enumerable.Range(0, 72).Select(i => (long)(i * 7 % 256)).ToArray();
        var inputs = new Dictionary<string, Tensor>
        {
            ["input_ids"] = Tensor.Of<long>(ElementType.Int64, [3, 24], tokens),
            ["labels"] = Tensor.Of<long>(ElementType.Int64, [3, 24], tokens),
            ["attention_mask"] = Tensor.Of<long>(ElementType.Int64, [3, 24], [.. tokens.Select(_ => 1L)]),
        };
        using var files = Halo.Runner.Training.Engine.ParameterFiles.Open([_folder["model"], _folder["adapter"]]);
        foreach (var input in graph.Inputs.Where(i => !inputs.ContainsKey(i.Name)))
            inputs[input.Name] = Tensor.Of<float>(ElementType.Float, [.. input.Shape!.Sizes], files.Tensors[input.Name].ReadFloats());
        return inputs;
    }
}
