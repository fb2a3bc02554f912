using Halo.Analysis;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Models.HuggingFace;
using Halo.Models.Llama;
using Halo.Models.Weights;
using Halo.Passes.Canonical;
using Halo.Passes.Infra;
using Halo.Passes.Rewrite;
using Halo.Passes.Training;
using Halo.Runner.Sessions;
using Halo.Runner.Sources;
using Halo.Serialization;
using Halo.Tests.Numerics;
using Halo.Tests.Packing;
using Halo.Tests.Passes.Inference;

namespace Halo.Tests.Models.Llama;

/// <summary>One model of each family, from its folder and from its exports, against PyTorch's loss, logits and gradients.</summary>
public class FamilyTests
{
    private const int Rows = 3, Tokens = 24;

    public static TheoryData<string> Names => [.. FamilyFixture.Names];

    public static TheoryData<string, string> Exports
    {
        get
        {
            var data = new TheoryData<string, string>();
            foreach (var name in FamilyFixture.Names)
            {
                foreach (var file in FamilyFixture.Exports(name))
                    data.Add(name, file);
            }
            return data;
        }
    }

    public static TheoryData<string, string> Levels
    {
        get
        {
            var data = new TheoryData<string, string>();
            foreach (var name in FamilyFixture.Names)
            {
                foreach (var level in new[] { "halo-0", "halo-1", "halo-2" })
                    data.Add(name, level);
            }
            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Loss_logits_and_every_gradient_of_a_checkpoint_are_PyTorchs(string name)
    {
        var folder = FamilyFixture.Folder(name);
        var config = DecoderConfig.Load(folder);
        using (var checkpoint = CheckpointReader.Open(folder))
            Assert.Empty(LlamaCheckpoint.Check(config, checkpoint));
        AreExpected(name, EvaluationGraph.Of(LlamaGraph.Build(config, Rows, Tokens)), OperatorKernels.Native, 2);
        var model = LlamaGraph.Build(config, Rows, Tokens);
        PassManager.Run(model, [new BuildGradient(), .. Pipelines.Parse(Pipelines.Cleanup)], new PassOptions { Evaluator = new OnnxEvaluator() });
        foreach (var kernels in new[] { OperatorKernels.Functions, OperatorKernels.Native })
            AreExpected(name, model, kernels, FamilyFixture.Checkpoint(name).Count + 1);
    }

    [Theory]
    [MemberData(nameof(Exports))]
    public void Loss_and_every_gradient_of_an_export_are_PyTorchs(string name, string file)
    {
        var config = DecoderConfig.Load(FamilyFixture.Folder(name));
        var source = OnnxReader.Read(FamilyFixture.File(name, file), HaloOperators.Catalogue);
        var passes = file == "training.onnx" ? Pipelines.Parse($"{Pipelines.Cleanup},{Pipelines.Rederive}")
            : Pipelines.Gradient(new GradientSettings(Rows, Tokens));
        var model = SourceGraph.Built(source, passes, "", new PassOptions { Checkpoint = FamilyFixture.Checkpoint(name) }).Model;
        AreExpected(name, model, OperatorKernels.Native, FamilyFixture.Checkpoint(name).Count + 1);
        var (layers, norms) = (config.Layers, config.Family.QueryKeyNorms == QueryKeyNorms.None ? 2 : 4);
        Assert.Equal((norms * layers) + 1, Count(nameof(RmsNorm)));
        Assert.Equal(layers, Count(nameof(Attention)));
        Assert.Equal(layers, Count(nameof(SwiGlu)));
        Assert.Equal(Enumerable.Range(0, layers).Select(n => (1L, config.Windows.Count == 0 ? 0L : config.Windows[n])),
            model.Graph.Nodes.Where(n => n.Is(nameof(Attention), HaloDomain.Name)).Select(n => (n.Int("causal", 0), n.Int("window", 0))));
        var rotated = config.Rotated.Count == 0 ? layers : config.Rotated.Count(r => r);
        Assert.Equal(2 * rotated, model.Graph.Nodes.Count(n => n.Is(nameof(RotaryEmbedding), HaloDomain.Name) && n.Int("inverse", 0) == 0));

        int Count(string kind) => model.Graph.Nodes.Count(n => n.Is(kind, HaloDomain.Name));
    }

    [Theory]
    [MemberData(nameof(Exports))]
    public void Logits_of_an_export_are_PyTorchs_in_canonical_form(string name, string file)
    {
        if (file == "training.onnx")
            return; // it has none
        var model = Origins.Graph(name, file, Rows, Tokens);
        PassManager.Run(model, [new Canonicalize()], Origins.Options(name));
        Assert.Equal(["logits"], model.Graph.Outputs.Select(o => o.Name));
        AreExpected(name, model, OperatorKernels.Native, 1);
    }

    /// <summary>Rotations keep every gradient; in FP8 every product of every layer is one of 8-bit operands.</summary>
    [Theory]
    [MemberData(nameof(Levels))]
    public void Every_level_rewrites_every_layer(string name, string level)
    {
        var config = DecoderConfig.Load(FamilyFixture.Folder(name));
        var model = SourceGraph.Built(LlamaGraph.Build(config, Rows, Tokens), Pipelines.Differentiate(), "").Model;
        Rewrite(level, "none");
        // A norm behind a product divides its rounding by what is often less than one.
        var tolerance = config.Family.NormsWhatIsAdded ? 4 * Tolerances.OtherOperators : Tolerances.OtherOperators;
        AreExpected(name, model, OperatorKernels.Native, FamilyFixture.Checkpoint(name).Count + 1, tolerance);
        Rewrite("none", "fp8");
        var layers = LinearGemms.In(model.Graph).Layers.Where(l => !l.IsHead).ToList();
        Assert.Equal((config.Family.HasFusedProjections ? 4 : 7) * config.Layers, layers.Count);
        Assert.All(layers, l => Assert.Equal([GemmRole.F, GemmRole.E, GemmRole.G], l.Gemms.Select(g => g.Role)));
        Assert.All(layers.SelectMany(l => l.Gemms), g => Assert.Equal("ScaledMatMul", g.Node.OpType));

        void Rewrite(string scheme, string format) => PassManager.Run(
            model, Pipelines.Rewrite(HaloScheme.Parse(scheme), GemmFormats.Parse(format)), new PassOptions { Evaluator = new OnnxEvaluator() });
    }

    /// <summary>What stands in docs/tutorials/model-family.md of the files that OLMo-2 took.</summary>
    [Fact]
    public void A_family_takes_the_files_that_the_tutorial_counts()
    {
        string[] words = [nameof(DecoderFamily.NormsWhatIsAdded), nameof(DecoderFamily.QueryKeyNorms), nameof(DecoderFamily.GenAiType)];
        var files = new[] { "models", "passes", "runner", "graph", "customops" }
            .SelectMany(project => Directory.EnumerateFiles(Path.Combine(RepositoryRoot.Path, project), "*.cs", SearchOption.AllDirectories))
            .Where(f => !f.Contains("/obj/", StringComparison.Ordinal) && File.ReadAllText(f) is var text && words.Any(w => text.Contains(w, StringComparison.Ordinal)))
            .Select(f => Path.GetFileName(f)!).ToList();
        Assert.Equal(6, files.Count);
        var line = File.ReadLines(Path.Combine(RepositoryRoot.Path, "docs", "tutorials", "model-family.md")).Single(l => l.StartsWith("- **OLMo-2**", StringComparison.Ordinal));
        Assert.All(files, f => Assert.Contains(f, line, StringComparison.Ordinal));
        Assert.Contains("six files", line, StringComparison.Ordinal);
    }

    private static void AreExpected(string name, Model model, OperatorKernels kernels, int count, double tolerance = Tolerances.OtherOperators)
    {
        using var expected = SafetensorsFile.Open(FamilyFixture.File(name, "expected.safetensors"));
        var inputs = FamilyFixture.Checkpoint(name).Where(t => model.Graph.Inputs.Any(i => i.Name == t.Key)).ToDictionary();
        foreach (var input in new[] { "input_ids", "attention_mask", "labels" }.Where(n => model.Graph.Inputs.Any(i => i.Name == n)))
            inputs[input] = Tensor.Of<long>(ElementType.Int64, [Rows, Tokens], expected.ReadLongs(input));
        var outputs = model.Graph.Outputs.Zip(new OnnxEvaluator(kernels).Evaluate(model, inputs)).ToList();
        Assert.Equal(count, outputs.Count);
        foreach (var (output, found) in outputs)
        {
            var (values, kept) = (found.ToArray<float>(), expected.ReadFloats(output.Name));
            var error = output.Name == "loss" ? RelativeError.Of(values, kept) : Sketch.Error(values, kept);
            Assert.True(error <= tolerance, $"{output.Name}: {error:E1}");
        }
    }
}
