using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Canonical;
using Halo.Passes.Canonical.Precision;
using Halo.Passes.Infra;
using Halo.Passes.Training;
using Halo.Text;

namespace Halo.Tests.Passes;

/// <summary>What specialize-shapes and convert-precision refuse.</summary>
public class SpecializeShapesTests
{
    [Fact]
    public void A_size_that_the_export_fixed_is_not_changed() =>
        Refused(Graph("input_ids: int64[3, sequence], attention_mask: int64[3, sequence]", "y: int64[3, sequence] = Add(input_ids, attention_mask)"),
            new SpecializeShapes(4, 24), "input 'input_ids': expected batch 4, found 3, fixed by the export");

    [Fact]
    public void One_symbol_has_one_size() =>
        Refused(Graph("input_ids: int64[n, n], attention_mask: int64[n, n]", "y: int64[n, n] = Add(input_ids, attention_mask)"),
            new SpecializeShapes(4, 24), "sequence 24", "'n', which is 4");

    [Fact]
    public void A_mask_is_not_made_up() =>
        Refused(Graph("input_ids: int64[batch, sequence]", "y: int64[batch, sequence] = Neg(input_ids)"),
            new SpecializeShapes(4, 24), "an input 'attention_mask' (batch, sequence)", "found input_ids");

    [Fact]
    public void Sizes_that_depend_on_the_tokens_are_refused() =>
        Refused(Graph("input_ids: int64[batch, sequence], attention_mask: int64[batch, sequence]", "y: int64[2, some] = NonZero(attention_mask)"),
            new SpecializeShapes(4, 24), "(NonZero): expected an output of fixed sizes, found 'y' [2, some]");

    [Fact]
    public void A_cache_of_keys_is_refused() =>
        Refused(Graph("input_ids: int64[batch, sequence], attention_mask: int64[batch, past], past_key: float[batch, 2, cached, 8]",
            "y: float[batch, 2, cached, 8] = Neg(past_key)"), new SpecializeShapes(4, 24), "input 'past_key'", "[4, 2, cached, 8]", "no key/value cache");

    [Theory]
    [InlineData("y: bfloat16[4] = com.halo.Quantize(x)", "standard operators")]
    public void Precision_changes_before_operators_are_fused(string node, string part) =>
        Refused(Graph("x: bfloat16[4]", node), new ConvertPrecision(FloatPrecision.Fp32), part);

    [Fact]
    public void Documents_of_packed_rows_take_the_same_sizes()
    {
        var model = Graph("input_ids: int64[batch, n], attention_mask: int64[batch, n], document_ids: int64[rows, m]",
            "y: int64[rows, m] = Neg(document_ids)");
        PassManager.Run(model, [new SpecializeShapes(4, 24)], new PassOptions());
        Assert.Equal(Shape.Of(4, 24), model.Graph.Values["document_ids"].Shape);
        Assert.Equal(Shape.Of(4, 24), model.Graph.Values["y"].Shape);
    }

    private static Model Graph(string inputs, string node) => GraphParser.Parse($$"""
        ir_version: 10, opset: {"": 21, "com.halo": 1}
        graph g({{inputs}}) -> ({{node[..node.IndexOf(" =", StringComparison.Ordinal)]}}) {
          {{node}}
        }
        """, HaloOperators.Catalogue);

    private static void Refused(Model model, IGraphPass pass, params string[] parts)
    {
        var e = Assert.Throws<PassException>(() => PassManager.Run(model, [pass], new PassOptions()));
        Assert.All(parts, p => Assert.Contains(p, e.Message, StringComparison.Ordinal));
    }
}
