using Halo.Analysis;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Serialization;
using Halo.Text;

namespace Halo.Tests.Analysis;

public class VerifierTests
{
    private const string Sound = """
        ir_version: 10, opset: {"": 21, "com.halo": 1}
        graph g(x: float[2, 3], c: bool[]) -> (y: float[2, 3]) {
          initializers { w: float[3] = {1, 2, 3} }
          a: float[2, 3] = Add(x, w)
          q: float[2, 3] = com.halo.Round:e4m3<step = 1.0>(a)
          y: float[2, 3] = If<then_branch = graph t() -> (u) { u = Neg(q) }, else_branch = graph e() -> (v) { v = Abs(a) }>(c)
        }
        function com.halo.Round:e4m3<step>(X) -> (Y) opset {"": 21, "com.halo": 1} {
          s = Constant<value_float = float @step>()
          t = com.halo.Divide:e4m3(X, s)
          Y = Round(t)
        }
        function com.halo.Divide:e4m3(X, S) -> (Y) opset {"": 21} {
          Y = Div(X, S)
        }
        """;

    [Fact]
    public void A_sound_model_passes() => Verifier.Check(Parse(Sound));

    [Theory]
    [MemberData(nameof(ExportFixture.All), MemberType = typeof(ExportFixture))]
    public void Real_exports_pass(string name)
    {
        foreach (var file in Directory.GetFiles(ExportFixture.Folder(name), "*.onnx"))
            Verifier.Check(OnnxReader.Read(file, HaloOperators.Catalogue));
    }

    [Theory]
    [InlineData("\"com.halo\": 1}\ngraph", "\"com.other\": 1}\ngraph", "domain 'com.halo' in the operator sets")]
    [InlineData("opset {\"\": 21, \"com.halo\": 1}", "opset {\"\": 21}", "domain 'com.halo' in the operator sets")]
    [InlineData("q: float[2, 3] = com.halo.Round:e4m3", "q: float[2, 3] = com.halo.Round:e5m2", "overload 'e5m2' in the model")]
    [InlineData("Round:e4m3<step = 1.0>(a)", "Round:e4m3(a)", "the attribute 'step'")]
    [InlineData("Round:e4m3<step = 1.0>(a)", "Round:e4m3<step = 1.0>(a, x)", "at most 1 inputs")]
    [InlineData("Y = Div(X, S)", "Y = com.halo.Round:e4m3<step = 1.0>(X)", "domain 'com.halo'")]
    [InlineData("opset {\"\": 21} {\n  Y = Div(X, S)", "opset {\"com.halo\": 1} {\n  Y = com.halo.Round:e4m3<step = 1.0>(X)",
        "functions that do not call themselves")]
    [InlineData("ir_version: 10", "ir_version: 9", "IR version 10 or later")]
    [InlineData("ir_version: 10", "ir_version: 7", "IR version 8 or later for functions")]
    [InlineData("a: float[2, 3] = Add(x, w)", "h = Cast<to = 16>(x)\n a: float[2, 3] = Add(x, w)\n z: bfloat16[] = Add(x, w)\n b = MatMul(a, z)",
        "operands of one type")]
    [InlineData("Neg(q) }", "Neg(q) a2: float8e4m3fn = Cast<to = 17>(u) }", null)]
    [InlineData("If<", "Where<", "input 0 of type bool", "(c)", "(x, a, q)")]
    [InlineData("graph t() -> (u) { u = Neg(q) }", "graph t() -> (a) { a = Neg(q) }", "a name that graph 'g' around it does not use")]
    [InlineData("a: float[2, 3] = Add(x, w)", "a: float[2, 3] = Add<n = int @step>(x, w)", "outside a function")]
    [InlineData("float @step", "float @stride", "an attribute of function com.halo.Round:e4m3")]
    public void Defects_in_the_text_are_found(string sound, string defect, string? expected, string sound2 = " ", string defect2 = " ")
    {
        var text = Sound.ReplaceLineEndings("\n");
        Assert.Contains(sound, text, StringComparison.Ordinal);
        var model = Parse(text.Replace(sound, defect, StringComparison.Ordinal).Replace(sound2, defect2, StringComparison.Ordinal));
        if (expected is null)
            Verifier.Check(model);
        else
            Assert.Contains(expected, Assert.Throws<VerifierException>(() => Verifier.Check(model)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Float8_needs_ir_version_9()
    {
        var model = Parse("ir_version: 8, opset: {\"\": 19}\ngraph g(x: float[]) -> (y) {\n y: float8e4m3fn[] = Cast<to = 17>(x)\n}");
        Assert.Contains("IR version 9 or later for float8e4m3fn", Message(model), StringComparison.Ordinal);
    }

    [Fact]
    public void A_use_before_the_definition_shows_the_lines_nearby()
    {
        var model = Parse(Sound);
        model.Graph.Prepend(new Node("Neg", [model.Graph.Values["q"]], [new Value("early")], name: "first"));
        var message = Message(model);
        Assert.StartsWith("verify: 'first' (Neg): expected input 0, 'q', to be defined before it, found 'q' (com.halo.Round) behind it", message,
            StringComparison.Ordinal);
        Assert.Contains("\n> early = Neg(q)  # first\n  a: float[2, 3] = Add(x, w)\n", message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_reader_outside_the_graph_is_found()
    {
        var model = Parse(Sound);
        _ = new Node("Neg", [model.Graph.Values["a"]], [new Value("lost")]);
        Assert.Contains("uses by nodes of the graph", Message(model), StringComparison.Ordinal);
    }

    [Fact]
    public void A_value_of_another_graph_is_found()
    {
        var model = Parse(Sound);
        var other = Parse(Sound);
        model.Graph.Values["a"].Producer!.ReplaceInput(0, other.Graph.Values["x"]);
        Assert.Contains("an input or initializer of another graph", Message(model), StringComparison.Ordinal);
    }

    [Fact]
    public void An_output_nobody_defines_is_found()
    {
        var model = Parse(Sound);
        model.Graph.AddOutput(new Value("nothing"));
        Assert.Contains("output 'nothing' to be defined, found no definition", Message(model), StringComparison.Ordinal);
    }

    [Fact]
    public void An_initializer_of_another_type_or_shape_is_found()
    {
        var model = Parse(Sound);
        model.Graph.Values["w"].Shape = Shape.Of(4);
        Assert.Contains("the shape of its content, float[3], found [4]", Message(model), StringComparison.Ordinal);
        model.Graph.Values["w"].Type = ElementType.Double;
        Assert.Contains("the type of its content, float[3], found double", Message(model), StringComparison.Ordinal);
    }

    [Fact]
    public void An_initializer_in_a_function_body_is_found()
    {
        var model = Parse(Sound);
        model.Functions.First().Body.AddInitializer("w", Tensor.Scalar(1f));
        Assert.Contains("no initializers in a function body", Message(model), StringComparison.Ordinal);
    }

    [Fact]
    public void A_domain_with_kernels_needs_no_function()
    {
        var model = Parse("opset: {\"\": 21, \"com.halo\": 1}\ngraph g(x: float[]) -> (y) {\n y = com.halo.AllReduce(x)\n}");
        Assert.Contains("a function 'com.halo.AllReduce'", Message(model), StringComparison.Ordinal);
        Verifier.Check(model, "com.halo");
    }

    private static string Message(Model model) => Assert.Throws<VerifierException>(() => Verifier.Check(model)).Message;

    private static Model Parse(string text) => GraphParser.Parse(text, HaloOperators.Catalogue);
}
