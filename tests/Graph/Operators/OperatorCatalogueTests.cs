using Halo.Analysis;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Operators;
using Halo.Text;

namespace Halo.Tests.Operators;

public class OperatorCatalogueTests
{
    [Fact]
    public void Every_operator_of_ours_is_in_the_catalogue_with_its_shape_rule()
    {
        var model = new Model(new Graph(), HaloOperators.Catalogue);
        Assert.All(HaloOperators.All, op =>
            Assert.NotNull(model.Graph.Append(new Node(op.OpType, [], [new Value(op.OpType)], HaloDomain.Name)).Facts.Shapes));
        Assert.DoesNotContain(OperatorCatalogue.Standard.All, f => f.Domain == HaloDomain.Name);
    }

    [Fact]
    public void An_operator_is_listed_once() =>
        Assert.Throws<ArgumentException>(() => OperatorCatalogue.Standard.With([new OperatorFacts("", "MatMul")]));

    [Theory]
    [InlineData("Reshape", true, true, true)]
    [InlineData("Identity", true, true, true)]
    [InlineData("Cast", true, true, false)]
    [InlineData("Transpose", true, false, false)]
    [InlineData("Expand", false, false, false)]
    [InlineData("Slice", false, false, false)]
    public void Views_keep_what_their_kind_says(string opType, bool content, bool order, bool bytes)
    {
        var view = Assert.IsType<OperatorRole.View>(OperatorCatalogue.Standard.Of(new Node(opType, [], [])).Role);
        Assert.Equal((content, order, bytes), (view.KeepsContent, view.KeepsOrder, view.KeepsBytes));
    }

    [Fact]
    public void The_domain_of_onnx_is_spelled_in_one_way()
    {
        var model = GraphParser.Parse("opset: {\"ai.onnx\": 21}\ngraph g(x: float[2]) -> (y) {\n y = ai.onnx.Relu(x)\n}", OperatorCatalogue.Standard);
        Assert.Equal(21, model.Opset);
        Assert.True(model.Graph.Nodes.Single().Is("Relu"));
        ShapeInference.Run(model.Graph);
        Assert.Equal("[2]", $"{model.Graph.Values["y"].Shape}");
    }

    /// <summary>The gradient's X is the layer's computed again, which it is only if the text that its operator reads is the same.</summary>
    [Theory]
    [InlineData("one", 2)]
    [InlineData("two", 1)]
    public void String_constants_are_equal_if_their_texts_are(string again, int products)
    {
        var model = GraphParser.Parse($$"""
            ir_version: 10, opset: {"": 21, "com.halo": 1, "com.test": 1}
            graph g(x: float[2, 4], w: float[4, 4], e: float[2, 4]) -> (loss: float[2, 4], "grad.w": float[4, 4]) {
              one: string[1] = Constant<value = string[1] {"one"}>()
              other: string[1] = Constant<value = string[1] {"{{again}}"}>()
              first: float[2, 4] = com.test.Named(x, one)
              loss: float[2, 4] = MatMul(first, w)
              late: float[2, 4] = com.halo.Barrier:1(x, e)
              second: float[2, 4] = com.test.Named(late, other)
              turned: float[4, 2] = Transpose(second)
              "grad.w": float[4, 4] = MatMul(turned, e)
            }
            """, HaloOperators.Catalogue);
        Assert.Equal(products, LinearGemms.In(model.Graph).Layers.Single().Gemms.Count);
    }

    [Fact]
    public void A_default_that_a_caller_may_replace_is_no_constant()
    {
        var graph = new Model(new Graph(), OperatorCatalogue.Standard).Graph;
        var fixedValue = graph.AddInitializer("fixed", Tensor.Int64s(1, 2));
        Assert.Equal([1L, 2], fixedValue.Integers()!);
        var computed = graph.Append(new Node("Constant", [], [new Value("c")]).With(Halo.Ir.Attribute.Of("value_float", 2.5f))).Output;
        Assert.Equal(2.5, computed.Number());
        Assert.Null(graph.AddInput(new Value("input", ElementType.Int64)).Constant);
    }
}
