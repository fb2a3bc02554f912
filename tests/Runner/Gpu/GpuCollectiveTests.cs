using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Tests.CustomOps;

namespace Halo.Tests.Runner.Gpu;

/// <summary>Tensors of an emulated GPU, carried through memory of the host and by copies. Ranks are threads, whose kernels run one after the other.</summary>
[Collection(nameof(EmulatedGpu))]
[Trait("Category", "Slow")]
public sealed class GpuCollectiveTests(EmulatedGpu gpu)
{
    [Theory]
    [InlineData(2, RankCarrier.Host)]
    [InlineData(3, RankCarrier.Host)]
    [InlineData(2, RankCarrier.Copies)]
    [InlineData(3, RankCarrier.Copies)]
    public void Ranks_compute_what_one_machine_would(int ranks, RankCarrier carrier)
    {
        long[] rows = [.. Enumerable.Range(1, ranks).Select(rank => (long)rank)];
        var all = (int)rows.Sum();
        var communicators = Communicator.Threads(gpu.Library, ranks, ranks, Communicator.DefaultTimeoutSeconds, carrier);
        var results = new float[ranks][][];
        CollectiveTests.Parallel(ranks, rank =>
        {
            var model = new Model(new Graph("rank"), HaloOperators.Catalogue) { Opsets = { [""] = HaloDomain.MinOpset } };
            var x = model.Graph.AddInput(new Value("x", ElementType.Float, Shape.Of(all, 2)));
            var shard = model.Graph.AddInput(new Value("shard", ElementType.Float, Shape.Of(rows[rank], 2)));
            var build = GraphBuilder.AtEnd(model.Graph);
            Value[] started =
            [
                build.AllGatherStart(shard, rows, rank, "world", "gather"), build.AllToAllStart(x, rows, rank, "world", "exchange"),
                build.ReduceScatterStart(x, rows, rank, "world", "reduce"), build.AllReduceStart(x, "sum", ranks, rank, "world", "sum"),
            ];
            foreach (var (i, value) in started.Index())
                model.Graph.AddOutput(build.CollectiveWait(value, [], $"wait{i}"));
            var outputs = gpu.Evaluate(model, new Dictionary<string, Tensor>
            {
                ["x"] = Tensor.Floats([all, 2], Elements(rank, all)),
                ["shard"] = Tensor.Floats([rows[rank], 2], Elements(rank, rows[rank])),
            }, communicators[rank]);
            results[rank] = [.. outputs.Select(output => output.ToArray<float>())];
        });
        for (var rank = 0; rank < ranks; rank++)
        {
            var own = new Range((int)(2 * rows[..rank].Sum()), (int)(2 * rows[..(rank + 1)].Sum()));
            var sums = Enumerable.Range(0, 2 * all).Select(i => Enumerable.Range(0, ranks).Sum(r => Elements(r, all)[i])).ToArray();
            Assert.Equal(Enumerable.Range(0, ranks).SelectMany(r => Elements(r, rows[r])), results[rank][0]);
            Assert.Equal(Enumerable.Range(0, ranks).SelectMany(r => Elements(r, all)[own]), results[rank][1]);
            Assert.Equal(sums[own], results[rank][2]);
            Assert.Equal(sums, results[rank][3]);
        }
        CollectiveTests.Parallel(ranks, rank => communicators[rank].Dispose());
    }

    /// <summary>A part of 13 M elements is six pieces: slots are taken again.</summary>
    [Fact]
    public void Copies_take_slots_again()
    {
        long[] rows = [13_000_000, 5];
        var communicators = Communicator.Threads(gpu.Library, 2, 2, Communicator.DefaultTimeoutSeconds, RankCarrier.Copies);
        var gathered = new float[2][][];
        CollectiveTests.Parallel(2, rank =>
        {
            var model = new Model(new Graph("rank"), HaloOperators.Catalogue) { Opsets = { [""] = HaloDomain.MinOpset } };
            var shard = model.Graph.AddInput(new Value("shard", ElementType.Float, Shape.Of(rows[rank])));
            var build = GraphBuilder.AtEnd(model.Graph);
            var first = build.CollectiveWait(build.AllGatherStart(shard, rows, rank, "world", "gather"), [], "wait");
            model.Graph.AddOutput(first);
            model.Graph.AddOutput(build.CollectiveWait(build.ReduceScatterStart(first, rows, rank, "world", "reduce"), [], "sum"));
            var outputs = gpu.Evaluate(model, new Dictionary<string, Tensor>
            {
                ["shard"] = Tensor.Floats([rows[rank]], [.. Enumerable.Range(0, (int)rows[rank]).Select(i => (float)i + rank)]),
            }, communicators[rank]);
            gathered[rank] = [.. outputs.Select(output => output.ToArray<float>())];
        });
        float[] expected = [.. Enumerable.Range(0, (int)rows[0]).Select(i => (float)i), .. Enumerable.Range(0, (int)rows[1]).Select(i => i + 1f)];
        Assert.All(gathered, rank => Assert.True(expected.AsSpan().SequenceEqual(rank[0])));
        Assert.True(gathered[0][1].AsSpan().SequenceEqual(expected[..^5].Select(v => 2 * v).ToArray()));
        Assert.True(gathered[1][1].AsSpan().SequenceEqual(expected[^5..].Select(v => 2 * v).ToArray()));
        CollectiveTests.Parallel(2, rank => communicators[rank].Dispose());
    }

    private static float[] Elements(int rank, long rows) => [.. Enumerable.Range(0, (int)rows * 2).Select(i => (rank * 100f) + i)];
}
