using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Infra;
using Halo.Passes.Training;
using Halo.Runner.Sessions;
using Halo.Serialization;
using Microsoft.ML.OnnxRuntime;

namespace Halo.Tests.Passes;

public class OrderScatterAddsTests
{
    private const int Rows = 16, Columns = 256, Updates = 4096;

    /// <summary>Every row is added to 256 times, on two threads, and integers make the sums exact.</summary>
    [Fact]
    public void No_update_is_lost_where_rows_repeat()
    {
        var model = new Model(new Graph("gradient"), HaloOperators.Catalogue) { Opsets = { [""] = 20 } };
        var graph = model.Graph;
        var at = graph.AddInput(new Value("at", ElementType.Int64, Shape.Of(Updates, 1)));
        var updates = graph.AddInput(new Value("updates", ElementType.Float, Shape.Of(Updates, Columns)));
        var zeros = graph.AddInitializer("zeros", Tensor.Floats([Rows, Columns], new float[Rows * Columns]));
        graph.AddOutput(GraphBuilder.AtEnd(graph).Op("sum", "ScatterND", [zeros, at, updates], Attribute.Of("reduction", "add")));
        Assert.Equal(1, PassManager.Run(model, [new OrderScatterAdds()], new PassOptions()).Passes[0].Rewrites);

        var random = new Random(3);
        var indices = Enumerable.Range(0, Updates).Select(_ => (long)random.Next(Rows)).ToArray();
        var values = Enumerable.Range(0, Updates * Columns).Select(_ => (float)random.Next(-8, 9)).ToArray();
        var expected = new float[Rows * Columns];
        for (var i = 0; i < values.Length; i++)
            expected[indices[i / Columns] * Columns + i % Columns] += values[i];

        using var session = new GraphSession("gradient", OnnxWriter.ToBytes(model), new SessionSettings { Threads = 2 });
        using var a = OrtValue.CreateTensorValueFromMemory(indices, [Updates, 1]);
        using var b = OrtValue.CreateTensorValueFromMemory(values, [Updates, Columns]);
        using var sum = GraphSession.Allocate(session.Outputs["sum"]);
        session.BindInput("at", a);
        session.BindInput("updates", b);
        session.BindOutput("sum", sum);
        for (var run = 0; run < 20; run++)
        {
            session.Run();
            Assert.Equal(expected, sum.GetTensorDataAsSpan<float>().ToArray());
        }
    }

    [Fact]
    public void A_reduction_that_is_not_over_whole_rows_is_refused()
    {
        var model = new Model(new Graph("cells"), HaloOperators.Catalogue) { Opsets = { [""] = 20 } };
        var graph = model.Graph;
        var at = graph.AddInput(new Value("at", ElementType.Int64, Shape.Of(8, 2)));
        var updates = graph.AddInput(new Value("updates", ElementType.Float, Shape.Of(8)));
        var table = graph.AddInput(new Value("table", ElementType.Float, Shape.Of(4, 4)));
        graph.AddOutput(GraphBuilder.AtEnd(graph).Op("sum", "ScatterND", [table, at, updates], Attribute.Of("reduction", "add")));
        var e = Assert.Throws<PassException>(() => PassManager.Run(model, [new OrderScatterAdds()], new PassOptions()));
        Assert.Contains("one index each", e.Message, StringComparison.Ordinal);
    }
}
