using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Runner.Sessions;
using Halo.Serialization;
using Microsoft.ML.OnnxRuntime;

namespace Halo.Tests.CustomOps;

/// <summary>Graphs of several ranks, a session and a thread each. Elements are whole numbers, so that every sum is exact.</summary>
public class CollectiveTests
{
    private const int Columns = 3, Runs = 2;

    /// <summary>What of a rank's tensors an element is: whole, small enough for every type, told apart by rank and place.</summary>
    private static float Element(int rank, int i) => ((rank + 1) * 16) + (i % 13);

    private static float[] Tensor(int rank, long rows) => [.. Enumerable.Range(0, (int)rows * Columns).Select(i => Element(rank, i))];

    private static long[] Rows(int ranks) => [.. Enumerable.Range(0, ranks).Select(rank => rank == 1 ? 0L : 2 + rank)];

    public static IEnumerable<object[]> Worlds =>
        from ranks in Enumerable.Range(2, 3)
        from type in new[] { ElementType.Float, ElementType.BFloat16, ElementType.Float16 }
        select new object[] { ranks, type };

    [Theory]
    [MemberData(nameof(Worlds))]
    public void Ranks_compute_what_one_machine_would(int ranks, ElementType type)
    {
        var rows = Rows(ranks);
        var results = OnRanks(ranks, rank => [Tensor(rank, rows.Sum()), Tensor(rank, rows[rank])], rank => (build, inputs) =>
        {
            var (x, shard) = (Typed(inputs[0], "x"), Typed(inputs[1], "shard"));
            var gathered = build.AllGatherStart(shard, rows, rank, "world", "gather");
            var exchanged = build.AllToAllStart(x, rows, rank, "world", "exchange");
            var reduced = build.ReduceScatterStart(x, rows, rank, "world", "reduce");
            var sum = build.AllReduceStart(x, "sum", ranks, rank, "world", "sum");
            var max = build.AllReduceStart(x, "max", ranks, rank, "world", "max");
            Value[] started = [gathered, exchanged, reduced, sum, max];
            return [.. started.Select((value, i) => build.CollectiveWait(value, started[(i + 1)..], $"wait{i}"))];

            Value Typed(Value value, string name) => type == ElementType.Float ? value : OpCase.Cast(build, value, type, $"{name}/cast");
        });

        var all = Enumerable.Range(0, ranks).ToArray();
        for (var rank = 0; rank < ranks; rank++)
        {
            var own = Range(rows[..rank].Sum(), rows[rank]);
            Assert.Equal(all.SelectMany(r => Tensor(r, rows[r])), results[rank][0]);
            Assert.Equal(all.SelectMany(r => Tensor(r, rows.Sum())[own]), results[rank][1]);
            var sums = Enumerable.Range(0, (int)rows.Sum() * Columns).Select(i => all.Sum(r => Element(r, i))).ToArray();
            Assert.Equal(sums[own], results[rank][2]);
            Assert.Equal(sums, results[rank][3]);
            Assert.Equal(Tensor(ranks - 1, rows.Sum()), results[rank][4]);
        }

        static Range Range(long first, long count) => (int)(first * Columns)..(int)((first + count) * Columns);
    }

    [Fact]
    public void Codes_are_gathered_as_bytes()
    {
        long[] rows = [2, 3];
        var results = OnRanks(2, rank => [Tensor(rank, 5), Tensor(rank, rows[rank])], rank => (build, inputs) =>
        {
            var (codes, _) = build.Quantize(inputs[1], NumberFormat.E4M3, "quantize");
            return [build.CollectiveWait(build.AllGatherStart(codes, rows, rank, "world", "gather"), [], "wait")];
        });
        Assert.Equal(results[0][0], results[1][0]);
        Assert.Equal(5 * Columns, results[0][0].Length);
        Assert.Equal(448, results[0][0].Max());
    }

    /// <summary>Codes and their scales go where the rows go, and are summed there: a byte an element and 4 a block, where float32 sends 4 an element.</summary>
    [Fact]
    public void Rows_are_summed_from_codes()
    {
        long[] rows = [2, 0, 3];
        var communicators = Communicator.Threads(3);
        var results = OnRanks(3, rank => [Tensor(rank, 5)], rank => (build, inputs) =>
        {
            var (codes, scales) = build.QuantizeRows(inputs[0], NumberFormat.Int8, Columns, "quantize");
            var (sentCodes, sentScales) = (build.AllToAllStart(codes, rows, rank, "world", "codes"), build.AllToAllStart(scales, rows, rank, "world", "scales"));
            var (ownCodes, ownScales) = (build.CollectiveWait(sentCodes, [], "wait/codes"), build.CollectiveWait(sentScales, [], "wait/scales"));
            return [build.SumRows(ownCodes, ownScales, Columns, 3, "sum")];
        }, communicators);
        var quantized = Enumerable.Range(0, 3).Select(rank => Tensor(rank, 5).Chunk(Columns).Select(block => CodeTable.Quantize(NumberFormat.Int8, block))
            .SelectMany(block => block.Values.Select(value => value * block.Scale)).ToArray()).ToArray();
        var sums = Enumerable.Range(0, 5 * Columns).Select(i => quantized.Sum(x => x[i])).ToArray();
        Assert.All(results.SelectMany(result => result[0]).Zip(sums), pair => Assert.Equal(pair.Second, pair.First, 1e-4));
        Assert.Equal(Runs * (5 - 2) * (Columns + 4), communicators[0].Counters().Sum(count => count.Bytes));
        Close(communicators);
    }

    [Fact]
    public void Bytes_are_counted_as_planned()
    {
        long[] rows = [3, 1, 0];
        var planned = new long[3];
        var communicators = Communicator.Threads(3);
        OnRanks(3, rank => [Tensor(rank, 4), Tensor(rank, rows[rank])], rank => (build, inputs) =>
        {
            Value[] started =
            [
                build.AllGatherStart(inputs[1], rows, rank, "world", "gather"), build.AllToAllStart(inputs[0], rows, rank, "world", "exchange"),
                build.ReduceScatterStart(inputs[0], rows, rank, "world", "reduce"), build.AllReduceStart(inputs[0], "sum", 3, rank, "world", "sum"),
            ];
            planned[rank] = started.Sum(value => CollectiveBytes.SentBy(value.Producer!));
            return [.. started.Select((value, i) => build.CollectiveWait(value, [], $"wait{i}"))];
        }, communicators);
        Assert.Equal(planned.Select(bytes => Runs * bytes), communicators.Select(c => c.Counters().Sum(count => count.Bytes)));
        Assert.All(communicators, c => Assert.Equal(Runs * 4, c.Counters().Sum(count => count.Count)));
        Assert.All(communicators, c => Assert.All(c.Counters(), count => Assert.True(count.Seconds > 0 && count.WaitSeconds > 0, $"{count}")));
        Close(communicators);
    }

    [Fact]
    public void A_rank_with_another_graph_ends_all_with_its_name()
    {
        var communicators = Communicator.Threads(2);
        var problems = new string[2];
        Parallel(2, rank => problems[rank] = Assert.ThrowsAny<Exception>(() => Run(communicators[rank], [Tensor(rank, 2)], (build, inputs) =>
            [build.CollectiveWait(build.AllReduceStart(inputs[0], rank == 0 ? "sum" : "max", 2, rank, "world", "norm"), [], "wait")])).Message);
        Assert.All(problems, problem => Assert.Contains("AllReduceStart 'norm'", problem, StringComparison.Ordinal));
        Assert.Contains(problems, problem => problem.Contains("rank 1", StringComparison.Ordinal));
        Assert.All(communicators, c => Assert.Throws<HaloException>(c.ThrowIfFailed));
        Close(communicators);
    }

    [Fact]
    public void A_rank_that_stays_away_or_fails_is_named()
    {
        var communicators = Communicator.Threads(2, timeoutSeconds: 0.2);
        var error = Assert.Throws<HaloException>(() => communicators[0].Gather("settings", [1, 2]));
        Assert.Contains("nothing from rank 1", error.Message, StringComparison.Ordinal);
        Close(communicators);
        communicators = Communicator.Threads(2);
        communicators[1].Fail("no space is left on the disk");
        error = Assert.Throws<HaloException>(() => communicators[0].Gather("settings", [1, 2]));
        Assert.Contains("rank 1: no space is left on the disk", error.Message, StringComparison.Ordinal);
        Close(communicators);
    }

    [Fact]
    public void Bytes_of_any_length_are_gathered_on_the_host()
    {
        var communicators = Communicator.Threads(3, ranksPerNode: 1);
        var gathered = new byte[3][][];
        Parallel(3, rank => gathered[rank] = communicators[rank].Gather("settings", [.. Enumerable.Repeat((byte)rank, rank * 1000)]));
        Assert.All(gathered, all => Assert.Equal([0, 1000, 2000], all.Select(bytes => bytes.Length)));
        Assert.All(gathered, all => Assert.Equal(2, all[2][1999]));
        Close(communicators);
    }

    [Fact]
    public void A_session_without_a_communicator_says_what_it_wants()
    {
        var problem = Assert.ThrowsAny<Exception>(() => Run(null, [Tensor(0, 2)], (build, inputs) =>
            [build.CollectiveWait(build.AllReduceStart(inputs[0], "sum", 2, 0, "world", "norm"), [], "wait")])).Message;
        Assert.Contains("halo.communicator", problem, StringComparison.Ordinal);
    }

    [Fact]
    public void Rows_that_do_not_fit_are_refused()
    {
        var model = new Model(new Graph(), HaloOperators.Catalogue) { Opsets = { [""] = 21 } };
        var build = GraphBuilder.AtEnd(model.Graph);
        var x = model.Graph.AddInput(new Value("x", ElementType.Float, Shape.Of(4, 2)));
        Assert.Contains("X of 3 rows", Assert.Throws<HaloException>(() => build.AllGatherStart(x, [4, 3], 1, "world", "a")).Message);
        Assert.Contains("X of 7 rows", Assert.Throws<HaloException>(() => build.ReduceScatterStart(x, [4, 3], 1, "world", "b")).Message);
        Assert.Contains("rank 2 of 2", Assert.Throws<HaloException>(() => build.AllReduceStart(x, "sum", 2, 2, "world", "c")).Message);
        Assert.Contains("'all'", Assert.Throws<HaloException>(() => build.AllToAllStart(x, [2, 2], 0, "all", "d")).Message);
    }

    private static float[][][] OnRanks(int ranks, Func<int, float[][]> inputs, Func<int, Func<GraphBuilder, Value[], Value[]>> build,
        Communicator[]? communicators = null)
    {
        var open = communicators ?? Communicator.Threads(ranks);
        var results = new float[ranks][][];
        Parallel(ranks, rank => results[rank] = Run(open[rank], inputs(rank), build(rank)));
        if (communicators is null)
            Close(open);
        return results;
    }

    /// <summary>Runs a rank's graph more than once, as memory that was planned in the first run is used from the second on.</summary>
    private static float[][] Run(Communicator? communicator, float[][] inputs, Func<GraphBuilder, Value[], Value[]> build)
    {
        var model = new Model(new Graph("rank"), HaloOperators.Catalogue) { Opsets = { [""] = HaloDomain.MinOpset } };
        var values = inputs.Select((x, i) => model.Graph.AddInput(new Value($"x{i}", ElementType.Float, Shape.Of(x.Length / Columns, Columns)))).ToArray();
        var end = GraphBuilder.AtEnd(model.Graph);
        foreach (var (i, output) in build(end, values).Index())
            model.Graph.AddOutput(OpCase.Cast(end, output, ElementType.Float, $"out{i}"));
        using var options = new SessionSettings { Threads = 1 }.ToOptions();
        if (communicator is not null)
            options.AddSessionConfigEntry(Communicator.ConfigKey, $"{communicator.Id}");
        using var session = new InferenceSession(OnnxWriter.ToBytes(model), options);
        using var run = new RunOptions();
        float[][] outputs = [];
        for (var i = 0; i < (communicator is null ? 1 : Runs); i++)
        {
            var fed = inputs.Select(x => OrtValue.CreateTensorValueFromMemory(x, [x.Length / Columns, Columns])).ToArray();
            using var results = session.Run(run, [.. model.Graph.Inputs.Select(v => v.Name)], fed, session.OutputNames);
            outputs = [.. results.Select(result => result.GetTensorDataAsSpan<float>().ToArray())];
            foreach (var value in fed)
                value.Dispose();
        }
        return outputs;
    }

    /// <summary>Runs each rank on a thread of its own; throws what the first one threw.</summary>
    internal static void Parallel(int ranks, Action<int> run)
    {
        var problems = new Exception?[ranks];
        var threads = Enumerable.Range(0, ranks).Select(rank => new Thread(() =>
        {
            try
            {
                run(rank);
            }
            catch (Exception e)
            {
                problems[rank] = e;
            }
        })).ToList();
        threads.ForEach(thread => thread.Start());
        threads.ForEach(thread => thread.Join());
        if (problems.FirstOrDefault(problem => problem is not null) is { } first)
            throw first;
    }

    internal static void Close(Communicator[] communicators)
    {
        foreach (var communicator in communicators)
            communicator.Dispose();
    }
}
