using CsCheck;
using Halo.Analysis;
using Halo.Runner.Data;
using Halo.Runner.Training.Engine;

namespace Halo.Tests.Runner.Data;

public class BatcherTests
{
    private const int Sequence = 7;
    private const int Pad = 99;

    private static readonly Gen<(int Rows, int BatchSize, int GraphRows, ulong Seed)> Cases =
        Gen.Select(Gen.Int[1, 40], Gen.Int[1, 9], Gen.Int[1, 5], Gen.ULong).Where(c => c.Item1 >= c.Item2);

    [Fact]
    public void Training_sees_no_row_twice_in_an_epoch_and_drops_less_than_a_batch() => Cases.Sample(c =>
    {
        var batcher = Training(c);
        var seen = batcher.Epoch(3).SelectMany(b => b.Rows).ToList();
        return seen.Distinct().Count() == seen.Count && seen.TrueForAll(i => i >= 0 && i < c.Rows) && c.Rows - seen.Count < c.BatchSize;
    }, iter: 200);

    [Fact]
    public void Evaluation_sees_every_row_once_in_order() => Cases.Sample(c =>
        Batcher.ForEvaluation(Rows(c.Rows), Layout(c.GraphRows)).Epoch().SelectMany(b => b.Rows).SequenceEqual(Enumerable.Range(0, c.Rows)), iter: 200);

    [Fact]
    public void Any_step_is_the_same_alone_as_in_an_uninterrupted_run() => Cases.Sample(c =>
    {
        var uninterrupted = Training(c);
        foreach (var step in Enumerable.Range(0, 3 * uninterrupted.BatchesPerEpoch))
            Same(uninterrupted.At(step), Training(c).At(step));
    }, iter: 50);

    [Fact]
    public void Labels_and_mask_line_up_with_the_rows() => Cases.Sample(c =>
    {
        var rows = Rows(c.Rows);
        foreach (var batch in Training(c).Epoch())
        {
            var tokens = 0;
            for (var i = 0; i < batch.MicroBatches.Count * c.GraphRows; i++)
            {
                var micro = batch.MicroBatches[i / c.GraphRows];
                var repeats = i >= batch.Rows.Count; // the first row of the micro-batch, with nothing to learn
                var row = rows[batch.Rows[repeats ? i / c.GraphRows * c.GraphRows : i]];
                for (var t = 0; t < Sequence; t++)
                {
                    var at = i % c.GraphRows * Sequence + t;
                    var real = t < row.Ids.Length;
                    Assert.Equal(real ? row.Ids[t] : Pad, micro[BatchRole.TokenIds][at]);
                    Assert.Equal(real || t == 0 ? 1 : 0, micro[BatchRole.Mask][at]);
                    Assert.Equal(real && !repeats && row.LossMask[t] == 1 ? row.Ids[t] : TrainingNames.IgnoredLabel, micro[BatchRole.Labels][at]);
                    tokens += real && !repeats ? 1 : 0;
                }
            }
            Assert.Equal(tokens, batch.Tokens);
            foreach (var micro in batch.MicroBatches)
            {
                Assert.Equal(micro[BatchRole.Labels].Where((l, at) => at % Sequence > 0 && l != TrainingNames.IgnoredLabel).Count(), micro.CountedTokens);
                Assert.Equal(micro.CountedTokens == 0, micro.Empty);
            }
        }
    }, iter: 50);

    [Fact]
    public void Seeds_and_epochs_differ()
    {
        var first = Order(seed: 0, epoch: 0);
        Assert.NotEqual(first, Order(seed: 1, epoch: 0));
        Assert.NotEqual(first, Order(seed: 0, epoch: 1));
        Assert.NotEqual(Order(seed: 1, epoch: 0), Order(seed: 0, epoch: 1));
    }

    [Fact]
    public void The_order_is_part_of_the_contract()
        => Assert.Equal(GoldenOrder, SplitMix64.Stream(0, 0).Permutation(10));

    [Fact]
    public void The_generator_is_SplitMix64()
    {
        var random = new SplitMix64(1234567); // Vigna's first outputs for this seed
        Assert.Equal([6457827717110365317, 3203168211198807973, 9817491932198370423], new[] { random.Next(), random.Next(), random.Next() });
    }

    [Fact]
    public void Every_place_is_drawn_about_as_often()
    {
        var counts = new int[5, 5];
        for (var epoch = 0UL; epoch < 5000; epoch++)
        {
            var order = SplitMix64.Stream(42, epoch).Permutation(5);
            for (var i = 0; i < 5; i++) counts[i, order[i]]++;
        }
        Assert.All(counts.Cast<int>(), n => Assert.InRange(n, 850, 1150)); // 1000 expected; 150 is 5.3 standard deviations, sqrt(5000 * 0.2 * 0.8) = 28
    }

    [Fact]
    public void Refuses_a_batch_larger_than_the_data()
        => Assert.Contains("at most the 3 rows", Assert.Throws<HaloException>(() => Batcher.ForTraining(Rows(3), 4, Layout(2), 0)).Message);

    private static readonly int[] GoldenOrder = [1, 7, 6, 2, 0, 9, 8, 4, 5, 3]; // computed apart, from the formulas in SplitMix64

    private static BatchLayout Layout(int rows) => new(rows, Sequence, Pad, TrainingInterface.Required);

    private static Batcher Training((int Rows, int BatchSize, int GraphRows, ulong Seed) c)
        => Batcher.ForTraining(Rows(c.Rows), c.BatchSize, Layout(c.GraphRows), c.Seed);

    private static int[] Order(ulong seed, int epoch)
        => Batcher.ForTraining(Rows(40), 8, Layout(4), seed).Epoch(epoch).SelectMany(b => b.Rows).ToArray();

    /// <summary>Rows of 1 to 7 tokens; the second half counts, so a row of one token counts nothing.</summary>
    private static TokenizedRow[] Rows(int count) => Enumerable.Range(0, count).Select(i =>
    {
        var length = 1 + i * 5 % Sequence;
        return new TokenizedRow(Enumerable.Range(0, length).Select(t => 1000 * (i + 1) + t).ToArray(),
            Enumerable.Range(0, length).Select(t => (byte)(2 * t >= length ? 1 : 0)).ToArray());
    }).ToArray();

    private static void Same(Batch a, Batch b)
    {
        Assert.Equal((a.Epoch, a.Index), (b.Epoch, b.Index));
        Assert.Equal(a.Rows, b.Rows);
        Assert.Equal(a.MicroBatches.SelectMany(m => m[BatchRole.TokenIds]), b.MicroBatches.SelectMany(m => m[BatchRole.TokenIds]));
    }
}
