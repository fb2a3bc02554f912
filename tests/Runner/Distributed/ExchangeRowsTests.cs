using Halo.Analysis;
using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Memory;
using Halo.Passes.Infra;
using Halo.Passes.Sharding;
using Halo.Passes.Training;
using Halo.Runner.Sessions;
using Halo.Serialization;
using Halo.Tests.CustomOps;
using Microsoft.ML.OnnxRuntime;

namespace Halo.Tests.Runner.Distributed;

/// <summary>Lookups in a table that ranks share, by rows, against the table itself: whole numbers, so that every sum is exact.</summary>
public sealed class ExchangeRowsTests
{
    private const int Rows = 11, Width = 3, Tokens = 5;

    public static IEnumerable<object[]> Worlds =>
        from ranks in Enumerable.Range(2, 3)
        from mode in new[] { ShardMode.Full, ShardMode.State }
        from isTied in new[] { true, false }
        select new object[] { ranks, mode, isTied };

    private static float Table(int i) => (i * 7 % 19) - 9;

    private static float Error(int rank, int i) => ((i + (rank * 5)) % 7) - 3;

    private static float Dense(int rank, int i) => ((i * 3) + rank) % 5;

    /// <summary>Some rows by several ranks, some by none.</summary>
    private static long Id(int rank, int token) => ((rank * 3) + (token * token)) % Rows;

    [Theory]
    [MemberData(nameof(Worlds))]
    public void Ranks_find_the_rows_of_the_table_and_sum_their_gradients(int ranks, ShardMode mode, bool isTied)
    {
        var results = OnRanks(ranks, mode, isTied, Id);
        var plan = new ShardPlan(mode, ranks, 0, ranks);
        for (var rank = 0; rank < ranks; rank++)
        {
            Assert.Equal(Enumerable.Range(0, Tokens * Width).Select(i => Table((int)(Id(rank, i / Width) * Width) + (i % Width))), results[rank][0]);
            var (first, count) = plan.For(rank).RangeOf(Rows);
            Assert.Equal(Enumerable.Range((int)first * Width, (int)count * Width).Select(i => Gradient(ranks, isTied, i)), results[rank][1]);
        }
    }

    /// <summary>Also those in front of the table, which a plain Gather would take from the end.</summary>
    [Theory]
    [InlineData(Rows)]
    [InlineData(-1)]
    public void An_id_that_is_no_row_of_the_table_is_refused(int wrong)
    {
        var problem = Assert.ThrowsAny<Exception>(() => OnRanks(2, ShardMode.Full, true, (rank, token) => rank == 1 && token == 2 ? wrong : Id(rank, token)));
        Assert.Contains("out of data bounds", problem.ToString(), StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public void A_tied_table_s_dense_gradient_starts_with_the_first_sums_and_the_rows_in_front_of_the_last()
    {
        var order = RunOrder.Of(GraphOf(2, 0, ShardMode.Full, isTied: true, sums: 12).Graph).ToList();
        int Start(string name) => order.FindIndex(n => n.Name == name + "/start");
        int Of(string output) => order.FindIndex(n => n.Outputs.Any(o => o.Name == output));
        Assert.InRange(Start("grad.w/replaced/dense"), 0, Of("grad.u0") - 1);
        Assert.InRange(Start("grad.w/replaced/of_all"), Start("grad.u6/rows") + 1, Start("grad.u7/rows") - 1);
        Assert.InRange(Of("grad.w/replaced/of_tokens"), Start("grad.u11/rows") + 1, Of("grad.u9") - 1);
    }

    private static float Gradient(int ranks, bool isTied, int i) => Enumerable.Range(0, ranks).Sum(rank => (isTied ? Dense(rank, i) : 0)
        + Enumerable.Range(0, Tokens).Where(t => Id(rank, t) == i / Width).Sum(t => Error(rank, (t * Width) + (i % Width))));

    private static float[][][] OnRanks(int ranks, ShardMode mode, bool isTied, Func<int, int, long> id)
    {
        var communicators = Communicator.Threads(ranks, timeoutSeconds: 10);
        var results = new float[ranks][][];
        try
        {
            CollectiveTests.Parallel(ranks, rank =>
                results[rank] = Run(communicators[rank], GraphOf(ranks, rank, mode, isTied), Inputs(ranks, rank, mode, id)));
        }
        finally
        {
            Array.ForEach(communicators, c => c.Dispose());
        }
        return results;
    }

    private static Dictionary<string, OrtValue> Inputs(int ranks, int rank, ShardMode mode, Func<int, int, long> id)
    {
        var (first, count) = mode == ShardMode.Full ? new ShardPlan(mode, ranks, rank, ranks).RangeOf(Rows) : (0, Rows);
        return new Dictionary<string, OrtValue>
        {
            ["w"] = Floats([count, Width], i => Table((int)(first * Width) + i)),
            ["input_ids"] = Numbers([1, Tokens], t => id(rank, t)),
            ["dy"] = Numbers([Tokens, Width], i => (long)Error(rank, i)),
            ["dense"] = Numbers([Rows, Width], i => (long)Dense(rank, i)),
            [TrainingNames.GradientWeight] = Floats([], _ => 1),
        };

        static OrtValue Floats(long[] sizes, Func<int, float> element) => OrtValue.CreateTensorValueFromMemory(All(sizes, element), sizes);

        static OrtValue Numbers(long[] sizes, Func<int, long> element) => OrtValue.CreateTensorValueFromMemory(All(sizes, element), sizes);

        static T[] All<T>(long[] sizes, Func<int, T> element) => [.. Enumerable.Range(0, (int)sizes.Aggregate(1L, (a, b) => a * b)).Select(element)];
    }

    private static float[][] Run(Communicator communicator, Model model, Dictionary<string, OrtValue> inputs)
    {
        using var options = new SessionSettings { Threads = 1 }.ToOptions();
        options.AddSessionConfigEntry(Communicator.ConfigKey, $"{communicator.Id}");
        try
        {
            using var session = new InferenceSession(OnnxWriter.ToBytes(model), options);
            using var run = new RunOptions();
            string[] names = [.. model.Graph.Inputs.Select(i => i.Name)];
            using var results = session.Run(run, names, [.. names.Select(n => inputs[n])], ["embedded", TrainingNames.GradientOf("w")]);
            return [.. results.Select(result => result.GetTensorDataAsSpan<float>().ToArray())];
        }
        catch (Exception e)
        {
            communicator.Fail(e.Message); // the others do not wait
            throw;
        }
        finally
        {
            foreach (var value in inputs.Values)
                value.Dispose();
        }
    }

    /// <summary>A rank's graph of a lookup in w and of its gradient; of other gradients besides, in the order in which they are computed.</summary>
    private static Model GraphOf(int ranks, int rank, ShardMode mode, bool isTied, int sums = 0)
    {
        var model = new Model(new Graph("training"), HaloOperators.Catalogue) { Opsets = { [""] = HaloDomain.MinOpset } };
        var graph = model.Graph;
        var build = GraphBuilder.AtEnd(graph);
        Value Input(string name, ElementType type, params long[] sizes) => graph.AddInput(new Value(name, type, Shape.Of(sizes)));
        var (table, ids) = (Input("w", ElementType.Float, Rows, Width), Input("input_ids", ElementType.Int64, 1, Tokens));
        graph.AddOutput(build.Op("embedded", "Gather", [table, ids]));
        var dY = OpCase.Cast(build, Input("dy", ElementType.Int64, Tokens, Width), ElementType.Float, "errors"); // floats would be parameters
        var dense = OpCase.Cast(build, Input("dense", ElementType.Int64, Rows, Width), ElementType.Float, "terms");
        var head = build.Op("head", "Identity", [dense]);
        for (var i = 0; i < sums; i++)
        {
            dY = build.Op($"error{i}", "Neg", [dY]);
            graph.AddOutput(build.Op(TrainingNames.GradientOf($"u{i}"), "Abs", [dY]));
        }
        var flat = build.Op("ids", "Reshape", [ids, build.Constant("shape", Tensor.Int64s(Tokens))]);
        var rows = build.EmbeddingGrad(dY, flat, Rows, ElementType.Float, isTied ? "looked_up" : TrainingNames.GradientOf("w"));
        graph.AddOutput(isTied ? build.Op(TrainingNames.GradientOf("w"), "Add", [head, rows]) : rows);
        PassManager.Run(model, [new Shard(mode, ranks, rank), new ExchangeRows(LookupExchange.Rows), new OrderNodes(), new OverlapCollectives()],
            new PassOptions());
        return model;
    }
}
