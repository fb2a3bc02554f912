using CsCheck;
using Halo.Analysis;
using Halo.Runner.Data;
using Halo.Runner.Training.Engine;

namespace Halo.Tests.Runner.Data;

/// <summary>Rows that share a row of the graph.</summary>
public class PackingTests
{
    private const int Sequence = 24, Pad = 99;

    private static readonly Gen<(int Rows, int BatchSize, int GraphRows, ulong Seed)> Cases =
        Gen.Select(Gen.Int[1, 60], Gen.Int[1, 17], Gen.Int[1, 4], Gen.ULong).Where(c => c.Item1 >= c.Item2);

    [Fact]
    public void Every_length_stands_in_one_bin_that_holds_it() => Gen.Int[1, Sequence].List[0, 40].Sample(lengths =>
    {
        var bins = FirstFit.Bins(lengths, Sequence);
        Assert.Equal(Enumerable.Range(0, lengths.Count), bins.SelectMany(b => b).Order());
        Assert.All(bins, b => Assert.InRange(b.Sum(i => lengths[i]), 1, Sequence));
        // What opened a bin did not fit into any before it: no two could be one.
        Assert.All(bins.SelectMany((a, i) => bins.Skip(i + 1).Select(b => a.Concat(b).Sum(n => lengths[n]))), sum => Assert.True(sum > Sequence));
    }, iter: 300);

    [Fact]
    public void The_longest_come_first_and_equals_keep_their_order() =>
        Assert.Equal([[3, 0], [1, 4, 2]], FirstFit.Bins([4, 6, 3, 15, 6], 20));

    [Fact]
    public void A_packed_batch_has_the_rows_of_an_unpacked_one_each_as_its_own_document() => Cases.Sample(c =>
    {
        var rows = Rows(c.Rows);
        var (packed, apart) = (Batches(rows, c, packs: true), Batches(rows, c, packs: false));
        for (var step = 0; step < 2 * apart.BatchesPerEpoch; step++)
        {
            var (found, expected) = (packed.At(step), apart.At(step));
            Assert.Equal(expected.Rows, found.Rows);
            Assert.Equal((expected.Epoch, expected.Index), (found.Epoch, found.Index));
            Assert.Equal((expected.CountedTokens, expected.Tokens), (found.CountedTokens, found.Tokens));
            Assert.True(found.MicroBatches.Count <= expected.MicroBatches.Count);
            Assert.Equal(expected.Rows.Select(i => Text(rows[i])).Order(), found.MicroBatches.SelectMany(Documents).Order());
        }
    }, iter: 60);

    [Fact]
    public void Any_step_is_the_same_alone() => Cases.Sample(c =>
    {
        var rows = Rows(c.Rows);
        var whole = Batches(rows, c, packs: true);
        for (var step = 0; step < whole.BatchesPerEpoch; step++)
        {
            var (a, b) = (whole.At(step).MicroBatches, Batches(rows, c, packs: true).At(step).MicroBatches);
            foreach (var role in Enum.GetValues<BatchRole>())
                Assert.Equal(a.Select(m => m[role]), b.Select(m => m[role]));
        }
    }, iter: 30);

    [Fact]
    public void A_row_of_the_graph_reads_as_it_should()
    {
        TokenizedRow[] rows = [new([1, 2, 3], [0, 1, 1]), new([4, 5, 6, 7], [1, 1, 0, 1])];
        var micro = MicroBatch.Of([(IReadOnlyList<TokenizedRow>)[rows[1], rows[0]]], new BatchLayout(2, 9, Pad, Inputs, Packs: true));
        Assert.Equal([4, 5, 6, 7, 1, 2, 3, Pad, Pad, 4, 5, 6, 7, 1, 2, 3, Pad, Pad], micro[BatchRole.TokenIds]);
        Assert.Equal([1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1, 1, 0, 0], micro[BatchRole.Mask]);
        Assert.Equal([0, 1, 2, 3, 0, 1, 2, 7, 8, 0, 1, 2, 3, 0, 1, 2, 7, 8], micro[BatchRole.Positions]);
        Assert.Equal([0, 0, 0, 0, 1, 1, 1, 2, 2, 0, 0, 0, 0, 1, 1, 1, 2, 2], micro[BatchRole.Documents]);
        Assert.Equal([4, 5, -100, 7, -100, 2, 3, -100, -100, -100, -100, -100, -100, -100, -100, -100, -100, -100], micro[BatchRole.Labels]);
        Assert.Equal((4, 7), (micro.CountedTokens, micro.Tokens));
    }

    [Fact]
    public void The_log_says_how_full_rows_are() => Assert.Equal(
        "packing: 4 rows fill 1.00 micro-batches of 2 x 24 on average (1 at the most) in place of 2; 83 % of their places hold tokens",
        Batcher.ForTraining([.. Enumerable.Range(0, 8).Select(_ => new TokenizedRow(new int[10], new byte[10]))], 4, Layout(2, packs: true), 0).PackingSummary());

    private static IReadOnlyList<BatchInput> Inputs { get; } = [.. TrainingInterface.Required, .. TrainingInterface.Optional];

    private static BatchLayout Layout(int rows, bool packs) => new(rows, Sequence, Pad, Inputs, packs);

    private static Batcher Batches(TokenizedRow[] rows, (int Rows, int BatchSize, int GraphRows, ulong Seed) c, bool packs) =>
        Batcher.ForTraining(rows, c.BatchSize, Layout(c.GraphRows, packs), c.Seed);

    /// <summary>A row by its ids and what is learned of it; the first token never counts.</summary>
    private static string Text(TokenizedRow row) => string.Join(' ', row.Ids.Select((id, t) => t > 0 && row.LossMask[t] != 0 ? $"{id}!" : $"{id}"));

    /// <summary>The documents of a micro-batch that learn something, or are not repeated; read off its inputs alone.</summary>
    private static IEnumerable<string> Documents(MicroBatch micro)
    {
        var used = micro[BatchRole.TokenIds].Length / Sequence;
        var first = new HashSet<string>();
        for (var r = 0; r < used; r++)
        {
            var places = Enumerable.Range(r * Sequence, Sequence).Where(i => micro[BatchRole.Mask][i] == 1).ToList();
            if (!first.Add(string.Join(' ', places.Select(i => micro[BatchRole.TokenIds][i]))))
                continue; // a free row repeats the first
            foreach (var document in places.GroupBy(i => micro[BatchRole.Documents][i]))
            {
                Assert.Equal(Enumerable.Range(0, document.Count()).Select(t => (long)t), document.Select(i => micro[BatchRole.Positions][i]));
                yield return string.Join(' ', document.Select((i, t) => t > 0 && micro[BatchRole.Labels][i] != TrainingNames.IgnoredLabel
                    ? $"{micro[BatchRole.TokenIds][i]}!" : $"{micro[BatchRole.TokenIds][i]}"));
            }
        }
    }

    private static TokenizedRow[] Rows(int count) => [.. Enumerable.Range(0, count).Select(i =>
    {
        var length = 2 + (i * 7 % (Sequence - 1));
        return new TokenizedRow([.. Enumerable.Range(0, length).Select(t => (1000 * (i + 1)) + t)], [.. Enumerable.Range(0, length).Select(t => (byte)(t % 3 == 0 ? 0 : 1))]);
    })];
}
