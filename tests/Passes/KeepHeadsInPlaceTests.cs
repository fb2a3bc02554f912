using Halo.CustomOps;
using Halo.Ir;
using Halo.Models.HuggingFace;
using Halo.Models.Llama;
using Halo.Passes.Fusion;
using Halo.Passes.Infra;
using Halo.Passes.Training;
using Halo.Runner.Memory;
using Halo.Runner.Sessions;
using Halo.Runner.Sources;
using Halo.Serialization;

namespace Halo.Tests.Passes;

/// <summary>On training graphs of every family: no head is copied, every output keeps its bits, and less memory is planned.</summary>
public class KeepHeadsInPlaceTests
{
    private const string Rewrite = "rotate-operands{scheme=halo-2},quantize-operands{format=fp8}," + Before;

    private const string Before =
        "fuse-casts,fuse-transposed-codes,join-factors,fuse-siblings,fuse-additions,fuse-producers,fuse-embedding-gradient,fuse-loss,remove-dead-code";

    public static TheoryData<string> Families => [.. FamilyFixture.Names];

    [Theory]
    [MemberData(nameof(Families))]
    public void Of_a_family(string name) => Check(Built(FamilyFixture.Folder(name), false), Before, "");

    [Theory]
    [InlineData("llama3-gqa", false, Rewrite, "")]
    [InlineData("llama3-gqa", true, Rewrite, "")]
    [InlineData("llama2-mha", true, Before, "recompute{by=layer},fuse-recomputed,order-nodes")]
    [InlineData("llama32-tied", false, Rewrite, "recompute{by=feed-forward},order-nodes")]
    public void Of_a_rewritten_graph(string name, bool packed, string rewrite, string behind) =>
        Check(Built(ExportFixture.Folder(name), packed), rewrite, behind);

    [Fact]
    public void Of_an_export_whose_gradient_is_built_anew() => Check(
        OnnxReader.Read(ExportFixture.File("llama2-mha", "training.onnx"), HaloOperators.Catalogue), $"{Pipelines.Cleanup},{Pipelines.Rederive},{Rewrite}", "");

    [Fact]
    public void Of_adapters_over_a_frozen_base() => Check(Built(ExportFixture.Folder("llama3-gqa"), false, Adapters), Rewrite, "");

    private static AddAdapters Adapters => (AddAdapters)Pipelines.Parse("add-adapters{layers=\"*: lora 4 2\"}").Single();

    private static Model Built(string folder, bool packed, AddAdapters? adapters = null) =>
        SourceGraph.Built(LlamaGraph.Build(DecoderConfig.Load(folder), 2, 24, packed), Pipelines.Differentiate(adapters: adapters), "").Model;

    private static void Check(Model model, string rewrite, string behind)
    {
        var evaluator = new OnnxEvaluator();
        PassManager.Run(model, Pipelines.Parse(rewrite), new PassOptions { Evaluator = evaluator });
        var (attentions, memory) = (model.Graph.Nodes.Count(n => n.Is(nameof(Attention), HaloDomain.Name)), PlannedBytes(model));
        Assert.True(Copies(model) > 0);

        var inputs = VerificationInputs.For(model.Graph);
        var run = PassManager.Run(model, [new KeepHeadsInPlace(), .. behind.Length > 0 ? Pipelines.Parse(behind) : []],
            new PassOptions { Evaluator = evaluator, VerifyInputs = inputs });
        Assert.True(attentions == run.Passes[0].Rewrites, string.Join('\n', run.Passes[0].Skipped));
        Assert.All(run.Passes, p => Assert.All(p.Measured!, m => Assert.True(m.IsIdentical, $"{p.Pass.Name}: {m}")));
        Assert.Equal(0, Copies(model));
        Assert.True(PlannedBytes(model) <= memory, $"{PlannedBytes(model)} bytes, where copies of heads took {memory}");
    }

    private static int Copies(Model model) => model.Graph.Nodes.Count(n => n.Is("Transpose") && n.Ints("perm") is [0, 2, 1, 3]);

    private static long PlannedBytes(Model model) => GraphMemory.Of("training", model.Graph, new GpuKernelMemory(byCudnn: true)).PeakBytes;
}
