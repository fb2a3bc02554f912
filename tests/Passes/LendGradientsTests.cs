using Halo.CustomOps;
using Halo.Ir;
using Halo.Memory;
using Halo.Passes.Infra;
using Halo.Passes.Training;
using Halo.Runner.Sessions;
using Halo.Serialization;

namespace Halo.Tests.Passes;

/// <summary>Codes in the memory of gradients, in the order in which ONNX Runtime runs.</summary>
public class LendGradientsTests
{
    private const string Quantized = Pipelines.Cleanup + "," + Pipelines.Rederive + ",rotate-operands{scheme=halo-2},quantize-operands{format=fp8},"
        + Pipelines.FuseForGpu;

    private static readonly OnnxEvaluator Evaluator = new();

    public static TheoryData<string, string> Cases => new()
    {
        { "llama3-gqa", Quantized + ",order-nodes" },
        { "llama2-mha", Quantized + ",recompute{by=feed-forward weights=true},order-nodes" },
        { "llama32-tied", Quantized + ",save-codes{of=all},order-nodes" },
        { "llama2-mha", Quantized + ",order-nodes,offload-residuals" },
    };

    /// <summary>Loans lie within their gradient and beside each other, none is read where the gradient is written or behind it, and the graph takes less.</summary>
    [Theory]
    [MemberData(nameof(Cases))]
    public void Codes_are_read_before_the_gradient_is_written(string name, string pipeline)
    {
        var (plain, model) = (Prepared(name, pipeline), Prepared(name, pipeline));
        var rewrites = Run(model, "lend-gradients").Passes.Single().Rewrites;
        var loans = LendGradients.LoansOf(model.Graph).ToList();
        Assert.Equal(rewrites, loans.Count);
        Assert.True(loans.Count > 3, $"{loans.Count} loans");
        Assert.Equal(0, Run(model, "lend-gradients").Passes.Single().Rewrites);
        var places = RunOrder.Of(model.Graph).Index().ToDictionary(n => n.Item, n => n.Index);
        foreach (var group in loans.GroupBy(loan => loan.Gradient))
        {
            var gradient = model.Graph.Outputs.Single(o => o.Name == group.Key);
            long end = 0;
            foreach (var (codes, _, offset) in group.OrderBy(loan => loan.Offset))
            {
                Assert.True(offset >= end && offset % RunMemory.Alignment == 0, $"{codes.Name} at {offset}, behind {end}");
                end = offset + Halo.Memory.Buffers.Bytes(codes)!.Value;
                Assert.All(Readers(codes), reader => Assert.True(places[reader] < places[gradient.Producer!], $"{reader} reads {codes.Name} behind {gradient.Producer}"));
            }
            Assert.True(end <= Halo.Memory.Buffers.Bytes(gradient), $"{end} bytes in {gradient.Name}");
        }
        var kernels = new GpuKernelMemory(byCudnn: false);
        long Peak(Model one) => RunMemory.Of(Halo.Memory.Buffers.Of(one.Graph, kernels), kernels).LiveBytes;
        Assert.True(Peak(model) < Peak(plain), $"{Peak(model)} and {Peak(plain)} bytes");

        static IEnumerable<Node> Readers(Value value) => value.Uses.SelectMany(u => u.Node.OpType is "Reshape" or "Barrier" or "BitCast" ? Readers(u.Node.Outputs[0]).Append(u.Node) : [u.Node]);
    }

    /// <summary>Every output keeps its bits.</summary>
    [Fact]
    public void Nothing_changes_but_where_codes_lie()
    {
        var (name, pipeline) = ("llama3-gqa", Quantized + ",order-nodes");
        var (plain, model) = (Prepared(name, pipeline), Prepared(name, pipeline));
        Run(model, "lend-gradients");
        var inputs = ExportFixture.Inputs(name, plain);
        var native = new OnnxEvaluator(OperatorKernels.Native);
        var (expected, found) = (native.Evaluate(plain, inputs), native.Evaluate(model, inputs));
        foreach (var (output, i) in plain.Graph.Outputs.Select((o, i) => (o, i)))
            Assert.True(expected[i].ToBytes().AsSpan().SequenceEqual(found[i].ToBytes()), output.Name);
    }

    private static Model Prepared(string name, string pipeline)
    {
        var model = OnnxReader.Read(ExportFixture.File(name, "training.onnx"), HaloOperators.Catalogue);
        Run(model, pipeline);
        return model;
    }

    private static PassRun Run(Model model, string pipeline) =>
        PassManager.Run(model, Pipelines.Parse(pipeline), new PassOptions { Evaluator = Evaluator });
}
