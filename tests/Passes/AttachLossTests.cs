using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Infra;
using Halo.Passes.Training;
using Halo.Runner.Sessions;
using Halo.Tests.Numerics;
using Halo.Text;

namespace Halo.Tests.Passes;

public class AttachLossTests
{
    private static readonly OnnxEvaluator Evaluator = new();

    /// <summary>The mean of -log softmax over the tokens whose next label counts, in float64.</summary>
    [Theory]
    [InlineData("float", 3, 4, 7, 4)]
    [InlineData("bfloat16", 2, 5, 11, 3)]
    [InlineData("float", 1, 2, 3, 100)]
    public void The_loss_is_the_shifted_mean_over_counted_tokens(string type, int batch, int tokens, int classes, int ignoreEach)
    {
        var model = Parse($$"""
            graph g(x: float[{{batch}}, {{tokens}}, {{classes}}]) -> (logits: {{type}}[{{batch}}, {{tokens}}, {{classes}}]) {
              logits: {{type}}[{{batch}}, {{tokens}}, {{classes}}] = Cast<to = {{(type == "float" ? 1 : 16)}}>(x)
            }
            """);
        PassManager.Run(model, [new AttachLoss()], new PassOptions());
        Assert.Equal(["x", "labels"], model.Graph.Inputs.Select(i => i.Name));
        Assert.Equal("%loss: float[]", model.Graph.Outputs.Single().ToString());

        var random = new Random(3);
        var logits = Enumerable.Range(0, batch * tokens * classes).Select(_ => MathF.ScaleB(random.Next(-128, 128), -5)).ToArray(); // exact in bfloat16
        var labels = Enumerable.Range(0, batch * tokens).Select(i => i % ignoreEach == 2 ? -100L : random.Next(classes)).ToArray();
        double sum = 0, count = 0;
        for (var row = 0; row < batch * tokens; row++)
        {
            if (row % tokens == tokens - 1 || labels[row + 1] == -100)
                continue;
            var scores = logits.Skip(row * classes).Take(classes).ToArray();
            sum += Math.Log(scores.Sum(s => Math.Exp(s))) - scores[labels[row + 1]];
            count++;
        }
        var found = Evaluate(model, [batch, tokens, classes], logits, labels);
        Assert.InRange(found, (sum / count) - Tolerances.OtherOperators, (sum / count) + Tolerances.OtherOperators);
    }

    [Fact]
    public void Without_a_counted_token_the_loss_is_nan_as_in_pytorch()
    {
        var model = Parse("""
            graph g(x: float[1, 2, 3]) -> (logits: float[1, 2, 3]) {
              logits: float[1, 2, 3] = Neg(x)
            }
            """);
        PassManager.Run(model, [new AttachLoss()], new PassOptions());
        Assert.True(double.IsNaN(Evaluate(model, [1, 2, 3], new float[6], [1, -100])));
    }

    [Theory]
    [InlineData("(a: float[1, 2, 3], b: float[1, 2, 3])", "expected a float output 'logits' of shape (B, T, V), or only one output like that")]
    [InlineData("(c: float[2, 3])", "found %c: float[2, 3].")]
    [InlineData("(d: float[], e: float[])", "expected a scalar output 'loss', or only one scalar")]
    public void Outputs_that_do_not_say_which_they_are_are_refused(string outputs, string message)
    {
        var model = Parse($$"""
            graph g(x: float[1, 2, 3]) -> {{outputs}} {
              initializers { row: int64[2] = {2, 3} }
              a: float[1, 2, 3] = Neg(x)
              b: float[1, 2, 3] = Abs(x)
              c: float[2, 3] = Reshape(x, row)
              d: float[] = ReduceSum<keepdims = 0>(x)
              e: float[] = ReduceMax<keepdims = 0>(x)
            }
            """);
        Assert.Contains(message, Assert.Throws<PassException>(() => PassManager.Run(model, [new AttachLoss()], new PassOptions())).Message,
            StringComparison.Ordinal);
    }

    private static double Evaluate(Model model, long[] sizes, float[] logits, long[] labels) => Evaluator.Evaluate(model, new Dictionary<string, Tensor>
    {
        ["x"] = Tensor.Floats(sizes, logits),
        ["labels"] = Tensor.Of<long>(ElementType.Int64, sizes.AsSpan(0, 2), labels),
    }).Single().ToArray<float>()[0];

    private static Model Parse(string graph) => GraphParser.Parse("ir_version: 10, opset: {\"\": 21}\n" + graph, HaloOperators.Catalogue);
}
