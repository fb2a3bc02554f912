using Halo.CustomOps;
using Halo.Ir;
using Halo.Models.Weights;
using Halo.Passes.Export.Weights;
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
    [InlineData("halo-1", "int8", "lora")]
    [InlineData("halo-2", "int8", "dora")]
    [InlineData("halo-1", "fp8", "lora")]
    [InlineData("none", "F=e4m3,e4m3;E=e5m2,e5m2;G=e5m2,e4m3", "lora")]
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

    /// <summary>No product transposes a frozen weight then; with room for some, as many as fit.</summary>
    [Theory]
    [InlineData("halo-0", "int8")]
    [InlineData("halo-1", "fp8")]
    public void Codes_that_are_held_transposed_as_well_give_the_same_bits(string scheme, string format)
    {
        DrawnAdapter.Write(_folder["adapter"], new() { Rank = 2, Alpha = 4, TargetPattern = "all-linear" }, _folder["model"]);
        var text = $"model: {_folder["model"]}\nadapter: {_folder["adapter"]}\nscheme: {scheme}\nformat: {format}\nmicro_batch_size: 3\nsequence_length: 24\n";
        TrainingPlan Plan(string codes) => TrainingPlan.Of(TrainConfig.Parse($"{text}transposed_codes: {codes}\n"), _ => { });
        var weights = Inputs(TrainingPlan.Of(TrainConfig.Parse(text), _ => { }, holds: false).Training.Graph);
        var (one, all, some) = (TrainingPlan.Of(TrainConfig.Parse(text), _ => { }), Plan("all"), Plan("16KiB"));
        var expected = Run(one);
        Assert.All([all, some], plan => Assert.All(expected.Zip(Run(plan)), pair => Assert.True(pair.First.ToBytes().AsSpan().SequenceEqual(pair.Second.ToBytes()))));
        long Bytes(TrainingPlan plan) => plan.Training.Graph.Inputs.Where(i => FrozenBase.IsHeld(i) && i.Shape!.Rank == 2 && i.Type.Bits() == 8).Sum(i => i.Shape!.ElementCount!.Value);
        Assert.InRange(Bytes(all), (2 * Bytes(one)) - FirstLayersInputs(one), 2 * Bytes(one));
        Assert.InRange(Bytes(some) - Bytes(one), 1, 16 << 10);
        Assert.DoesNotContain(all.Training.Graph.Nodes, n => n.Is(nameof(ScaledMatMul), HaloDomain.Name) && n.Int("transB", 0) == 0);
        Assert.Contains(some.Training.Graph.Nodes, n => n.Is(nameof(ScaledMatMul), HaloDomain.Name) && n.Int("transB", 0) == 0);

        Tensor[] Run(TrainingPlan plan)
        {
            var inputs = new Dictionary<string, Tensor>(weights);
            var evaluator = new OnnxEvaluator(OperatorKernels.Native);
            foreach (var (output, value) in plan.Base!.Graph.Outputs.Zip(evaluator.Evaluate(plan.Base, inputs)))
                inputs[output.Name] = value;
            return [.. evaluator.Evaluate(plan.Training, inputs)];
        }

        // Nobody asks for the gradient of what the first layer's q, k and v read.
        long FirstLayersInputs(TrainingPlan plan) => plan.Training.Graph.Inputs.Where(i => i.Name.Contains("layers.0.self_attn.", StringComparison.Ordinal)
            && !i.Name.Contains("o_proj", StringComparison.Ordinal) && FrozenBase.IsHeld(i) && i.Shape!.Rank == 2).Sum(i => i.Shape!.ElementCount!.Value);
    }

    [Fact]
    public void Codes_that_are_not_held_cannot_be_held_transposed()
    {
        var config = TrainConfig.Parse($"model: {_folder["model"]}\nadapter: {{kind: lora, rank: 2}}\ntransposed_codes: all\nmicro_batch_size: 3\nsequence_length: 24\n");
        Assert.Contains("transposed_codes all: expected codes of frozen weights that are held", Assert.Throws<HaloException>(() => TrainingPlan.Of(config, _ => { })).Message,
            StringComparison.Ordinal);
    }

    /// <summary>What is left of the memory holds codes once more.</summary>
    [Fact]
    public void Fit_holds_codes_transposed_where_there_is_room()
    {
        string[] plan = ["plan", "--model", _folder["model"], "--adapter-kind", "lora", "--adapter-rank", "4", "--micro-batch-size", "3", "--sequence-length", "24",
            "--scheme", "halo-0", "--format", "fp8", "--precision", "bf16", "--device", "cuda"];
        var peak = System.Text.Json.JsonDocument.Parse(HaloConsole.Succeed([.. plan, "--json"])).RootElement.GetProperty("peak_bytes").GetInt64();
        string Fit(long bytes) => HaloConsole.Succeed([.. plan, "--fit", "auto", "--memory", string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{bytes / 1024.0:F2}KiB")]);
        Assert.Contains("with recompute none, transposed_codes all;", Fit(peak + (8 << 20)), StringComparison.Ordinal);
        Assert.Contains("with recompute none;", Fit(peak + 1024), StringComparison.Ordinal);
    }

    /// <summary>On a GPU codes of activations are written in both orders, those that are held in one: a byte a weight.</summary>
    [Theory]
    [InlineData("int8", ElementType.Int8)]
    [InlineData("fp8", ElementType.UInt8)]
    public void For_a_GPU_codes_are_held_in_one_order_and_sums_are_taken_in_products(string format, ElementType type)
    {
        var config = TrainConfig.Parse($"model: {_folder["model"]}\nadapter: {{kind: lora, rank: 2}}\nscheme: halo-0\nformat: {format}\ndevice: cuda\n"
            + "precision: bf16\nmicro_batch_size: 3\nsequence_length: 24\n");
        var plan = TrainingPlan.Of(config, _ => { });
        var held = plan.Training.Graph.Inputs.Where(FrozenBase.IsHeld).ToList();
        using var weights = CheckpointReader.Open(_folder["model"]);
        var linear = weights.Tensors.Values.Where(t => t.Name.EndsWith("proj.weight", StringComparison.Ordinal)).Sum(t => t.ElementCount);
        Assert.Equal(linear, held.Where(v => v.Type == type).Sum(v => v.Shape!.ElementCount!.Value));
        Assert.DoesNotContain(plan.Training.Graph.Inputs, i => i.Type == ElementType.Float && i.Name.EndsWith("proj.weight", StringComparison.Ordinal)
            && !i.Name.Contains("lora", StringComparison.Ordinal));
        var products = plan.Training.Graph.Nodes.Where(n => n.Is(nameof(ScaledMatMul), HaloDomain.Name)).ToList();
        Assert.DoesNotContain(plan.Training.Graph.Nodes, n => n.Is("Add") && n.Output.Shape?.Rank == 2);
        var layers = weights.Tensors.Keys.Count(name => name.EndsWith("q_proj.weight", StringComparison.Ordinal));
        Assert.Equal(4 * layers, plan.Training.Graph.Nodes.Count(n => n.Is("Split"))); // q, k and v; gate and up: forward, and their gradients
        Assert.All(products.Where(p => p.Name.EndsWith("/F/scaled_matmul", StringComparison.Ordinal)), p => Assert.Equal(5, p.Inputs.Count));
    }

    /// <summary>Beside training over a checkpoint whose linear weights are what the codes stand for: the same bits.</summary>
    [Theory]
    [InlineData("none", "none", "none")]
    [InlineData("halo-2", "int8", "layer")]
    [InlineData("halo-1", "fp8", "weights")]
    public void A_base_in_4_bits_is_the_base_that_its_codes_stand_for(string scheme, string format, string recompute)
    {
        using (var weights = CheckpointReader.Open(_folder["model"]))
        {
            SafetensorsWriter.Write(_folder["rounded.safetensors"], [.. weights.Tensors.Values.Select(t =>
                t.Name.EndsWith("proj.weight", StringComparison.Ordinal) ? SafetensorsSource.From(t.Name, t.DType, t.Shape, Rounded(t)) : SafetensorsSource.From(t))]);
        }
        string[] options = ["--scheme", scheme, "--format", format, "--recompute", recompute, "--micro-batch-size", "3", "--sequence-length", "24",
            "--steps", "3", "--data", _folder["data.jsonl"], "--adapter-kind", "lora", "--adapter-rank", "4", "--learning-rate", "1e-2", "--model", _folder["model"]];
        HaloConsole.Succeed(["train", .. options, "--adapter-base", "int4", "-o", _folder["coded"]]);
        HaloConsole.Succeed(["train", .. options, "--weights", _folder["rounded.safetensors"], "-o", _folder["decoded"]]);
        var found = Losses("coded");
        Assert.Equal(Losses("decoded"), found);
        Assert.True(Number(found[^1]) < Number(found[0]), $"{found[0]} {found[^1]}");

        string[] eval = ["eval", "--data", _folder["data.jsonl"], "--model"];
        string[] sizes = ["--micro-batch-size", "3", "--sequence-length", "24", "--scheme", scheme, "--format", format];
        Assert.Equal(HaloConsole.Succeed([.. eval, _folder["coded"]]),
            HaloConsole.Succeed([.. eval, _folder["model"], "--adapter", _folder["coded/adapter"], "--adapter-base", "int4", .. sizes]));
        Assert.NotEqual(HaloConsole.Succeed([.. eval, _folder["coded"]]),
            HaloConsole.Succeed([.. eval, _folder["model"], "--adapter", _folder["coded/adapter"], .. sizes]));
    }

    /// <summary>0.6 bytes a weight are held, and no decoded weight is kept for the backward part.</summary>
    [Fact]
    public void The_plan_of_a_base_in_4_bits_counts_its_codes()
    {
        string[] plan = ["plan", "--model", _folder["model"], "--adapter-kind", "lora", "--adapter-rank", "4", "--micro-batch-size", "3", "--sequence-length",
            "24", "--scheme", "halo-0", "--format", "int8", "--precision", "bf16", "--device", "cuda", "--json"];
        var (own, coded) = (HaloConsole.Succeed(plan), HaloConsole.Succeed([.. plan, "--adapter-base", "int4"]));
        Assert.InRange(Codes(coded) / (double)Codes(own), 0.5, 0.9); // embedding and head are small in this model, and held as before

        static long Codes(string json) => System.Text.Json.JsonDocument.Parse(json).RootElement.GetProperty("held").GetProperty("codes of frozen weights").GetInt64();
    }

    /// <summary>A layer more takes as much memory while the graph runs as over a base that is held decoded: no codes of other layers are there.</summary>
    [Theory]
    [InlineData("layer")]
    [InlineData("elementwise")]
    public void Weights_in_4_bits_are_decoded_layer_by_layer(string recompute)
    {
        long Growth(string options) => Running(8, options) - Running(4, options);
        var (own, coded) = (Growth(""), Growth("--adapter-base int4"));
        Assert.True(own > 0);
        Assert.InRange(coded, 0, own + 4096);

        long Running(int layers, string options)
        {
            var folder = Directory.CreateDirectory(_folder[$"layers-{layers}"]).FullName;
            var text = File.ReadAllText(Path.Combine(_folder["model"], "config.json"));
            File.WriteAllText(Path.Combine(folder, "config.json"), System.Text.RegularExpressions.Regex.Replace(text, "\"num_hidden_layers\": *[0-9]+", $"\"num_hidden_layers\": {layers}"));
            var json = System.Text.Json.JsonDocument.Parse(HaloConsole.Succeed(["plan", "--model", folder, "--adapter-kind", "lora", "--adapter-rank", "4", "--micro-batch-size", "3",
                "--sequence-length", "24", "--scheme", "halo-0", "--format", "fp8", "--precision", "bf16", "--device", "cuda", "--recompute", recompute, "--json",
                .. options.Split(' ', StringSplitOptions.RemoveEmptyEntries)])).RootElement;
            return json.GetProperty("peak_bytes").GetInt64() - json.GetProperty("held_bytes").GetInt64();
        }
    }

    private static double Number(string text) => double.Parse(text, System.Globalization.CultureInfo.InvariantCulture);

    private List<string> Losses(string run) => [.. File.ReadLines(_folder[$"{run}/metrics.jsonl"]).Select(l => System.Text.Json.JsonDocument.Parse(l).RootElement)
        .Where(r => r.GetProperty("kind").GetString() == "train").Select(r => r.GetProperty("loss").GetRawText())];

    private static float[] Rounded(SafetensorsTensor weight)
    {
        var (rows, columns) = ((int)weight.Shape[0], (int)weight.Shape[1]);
        var coded = Int4Codes.Of(weight.ReadFloats(), rows, columns);
        var blocks = coded.Zeros.Length / rows;
        return [.. Enumerable.Range(0, rows * columns).Select(i =>
        {
            var (at, block) = ((i / columns * blocks * 32) + (i % columns), (i / columns * blocks) + (i % columns / 32));
            return ((coded.Codes[at / 2] >> (at % 2 * 4) & 15) - coded.Zeros[block]) * (float)coded.Scales[block];
        })];
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
