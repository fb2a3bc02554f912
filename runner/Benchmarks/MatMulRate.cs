using System.Diagnostics;
using Halo.Analysis;
using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Runner.Sessions;
using Halo.Serialization;

namespace Halo.Runner.Benchmarks;

/// <summary>The rate that ONNX Runtime's own MatMul reaches at the shapes of a graph's linear products: what a step could be at best.</summary>
/// <param name="Operations">Multiplications and additions of all linear products of one step, the head's included.</param>
/// <param name="Seconds">What they take as bare float32 MatMul nodes, one after the other.</param>
internal sealed record MatMulRate(double Operations, double Seconds)
{
    private const int Repeats = 15;

    public double GigaflopsPerSecond => Operations / Seconds / 1e9;

    /// <summary>Times each distinct shape by its median, and adds up all products.</summary>
    public static MatMulRate Measure(Graph graph, int threads)
    {
        var shapes = LinearGemms.In(graph).Layers.SelectMany(layer => layer.Gemms.Select(ShapeOf)).GroupBy(shape => shape);
        var (operations, seconds) = (0.0, 0.0);
        foreach (var shape in shapes)
        {
            operations += shape.Count() * 2.0 * shape.Key.M * shape.Key.N * shape.Key.K;
            seconds += shape.Count() * SecondsOf(shape.Key.M, shape.Key.N, shape.Key.K, threads);
        }
        return new MatMulRate(operations, seconds);
    }

    private static (long M, long N, long K) ShapeOf(LinearGemm gemm)
    {
        var (a, b) = (gemm.A.Matrix.Shape!, gemm.B.Matrix.Shape!);
        long Size(Shape shape, int axis) => axis == 1 ? shape[-1].Size!.Value : new Shape(shape.Take(shape.Rank - 1)).ElementCount!.Value;
        return (Size(a, gemm.AxisOfA(GemmAxis.M)!.Value), Size(b, gemm.AxisOfB(GemmAxis.N)!.Value), Size(a, gemm.AxisOfA(GemmAxis.K)!.Value));
    }

    /// <summary>The median time of a bare float32 MatMul of (M, K) and (K, N).</summary>
    internal static double SecondsOf(long m, long n, long k, int threads)
    {
        var graph = new Graph("product");
        var model = new Model(graph, HaloOperators.Catalogue) { Opsets = { [""] = CustomOps.HaloDomain.MinOpset } };
        var a = graph.AddInput(new Value("A", ElementType.Float, Shape.Of(m, k)));
        var b = graph.AddInput(new Value("B", ElementType.Float, Shape.Of(k, n)));
        graph.AddOutput(GraphBuilder.AtEnd(graph).Op("Y", "MatMul", [a, b]));
        using var session = new GraphSession("product", OnnxWriter.ToBytes(model), new SessionSettings { Threads = threads });
        var random = new Random(1);
        foreach (var (name, metadata) in session.Inputs)
        {
            var value = GraphSession.Allocate(metadata);
            foreach (ref var element in value.GetTensorMutableDataAsSpan<float>())
                element = (float)(random.NextDouble() - 0.5);
            session.BindInput(name, value);
        }
        session.BindOutput("Y", GraphSession.Allocate(session.Outputs["Y"]));
        session.Run();
        var times = new double[Repeats];
        for (var i = 0; i < Repeats; i++)
        {
            var start = Stopwatch.GetTimestamp();
            session.Run();
            times[i] = Stopwatch.GetElapsedTime(start).TotalSeconds;
        }
        Array.Sort(times);
        return times[Repeats / 2];
    }
}
