using Halo.Analysis;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Infra;
using Halo.Runner.Sessions;
using Halo.Serialization;
using Halo.Text;

namespace Halo.Tests.Analysis;

public class ProductOperationsTests
{
    [Theory]
    [InlineData("float[5, 2, 4]", "MatMul(a, b)", 2 * 5 * 2 * 4 * 3)]
    [InlineData("float[3, 4]", "Gemm<transA = 1>(c, d)", 2 * 3 * 4 * 7)]
    [InlineData("float[4, 3]", "Gemm<transA = 1, transB = 0>(d, c)", 2 * 4 * 3 * 7)]
    [InlineData("float[7, 3]", "Tanh(c)", 0)]
    [InlineData("float[1, 4, 8, 6]", "Attention<is_causal = 1>(q, k, k)", 2 * 2 * 4 * 6 * (8 * 9 / 2))] // query i sees i + 1 keys
    [InlineData("float[1, 4, 8, 6]", "Attention<is_causal = 0>(q, k, k)", 2 * 2 * 4 * 6 * 8 * 8)]
    public void Operations_are_those_of_the_definition(string type, string call, double operations) => Assert.Equal(operations, ProductOperations.Of(GraphParser.Parse($$"""
        ir_version: 10, opset: {"": 23}
        graph g(a: float[5, 2, 3], b: float[3, 4], c: float[7, 3], d: float[7, 4], q: float[1, 4, 8, 6], k: float[1, 2, 8, 6]) -> (y: {{type}}) {
          y: {{type}} = {{call}}
        }
        """, HaloOperators.Catalogue).Graph));

    [Fact]
    public void Free_sizes_have_no_count() => Assert.Null(ProductOperations.Of(GraphParser.Parse("""
        ir_version: 10, opset: {"": 21}
        graph g(a: float[n, 3], b: float[3, 4]) -> (y: float[n, 4]) {
          y: float[n, 4] = MatMul(a, b)
        }
        """, HaloOperators.Catalogue).Graph));

    /// <summary>However a training step is written, the operations are those of its model: three products a weight, and attention's six.</summary>
    [Theory]
    [InlineData("llama2-mha", "")]
    [InlineData("llama32-tied", "recompute")]
    [InlineData("llama3-gqa", "rotate-operands{scheme=halo-2},quantize-operands{format=int8}")]
    [InlineData("llama3-gqa", "rotate-operands{scheme=halo-1},quantize-operands{format=fp8}," + Pipelines.FuseForGpu + ",recompute{by=feed-forward weights=true}")]
    public void Rewrites_change_no_count(string name, string rewrite)
    {
        var model = OnnxReader.Read(ExportFixture.File(name, "training.onnx"), HaloOperators.Catalogue);
        PassManager.Run(model, Pipelines.Parse($"{Pipelines.Cleanup},{Pipelines.Rederive}" + (rewrite.Length > 0 ? $",{rewrite}" : "")), new PassOptions { Evaluator = new OnnxEvaluator() });
        var graph = model.Graph;
        var ids = graph.Inputs.Single(i => i.Name == "input_ids").Shape!;
        var (batch, sequence) = (ids[0].Size!.Value, ids[1].Size!.Value);
        var weights = graph.Inputs.Where(i => i.Shape?.Rank == 2 && i.Type.IsFloat()).ToDictionary(i => i.Name, i => i.Shape!);
        var isTied = !weights.ContainsKey("lm_head.weight");
        var linear = weights.Where(w => isTied || !w.Key.Contains("embed_tokens", StringComparison.Ordinal)).Sum(w => w.Value.ElementCount!.Value);
        var queries = weights.Where(w => w.Key.Contains("q_proj", StringComparison.Ordinal)).Sum(w => w.Value[0].Size!.Value);
        Assert.Equal((6.0 * batch * sequence * linear) + (2.0 * 6 * batch * queries * sequence * (sequence + 1) / 2), ProductOperations.Of(graph));
    }
}
