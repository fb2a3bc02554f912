using Halo.Runner.Generation;

namespace Halo.Tests.Runner.Generation;

public sealed class GeneratorTests
{
    private static readonly HashSet<int> Stops = [7, 9];

    [Fact]
    public void A_row_ends_at_a_stop_token_which_is_not_part_of_it()
    {
        using var decoder = new Counting(maxPositions: 100);
        var completions = new Generator(decoder, SamplingSettings.Greedy, Stops, maxTokens: 50).Generate([[4], [8], [1, 2]]);
        Assert.Equal([[5, 6], [], [3, 4, 5, 6]], completions.Select(c => c.Ids));
        Assert.All(completions, c => Assert.Equal(EndedBy.StopToken, c.EndedBy));
    }

    [Fact]
    public void A_row_ends_at_the_longest_completion_at_the_last_position_or_by_whoever_watches()
    {
        using var decoder = new Counting(maxPositions: 4);
        var completions = new Generator(decoder, SamplingSettings.Greedy, Stops, maxTokens: 3).Generate([[1], [0, 0, 0], [2, 3]], (row, id) => row != 2);
        Assert.Equal([[2, 3, 4], [1], [4]], completions.Select(c => c.Ids));
        Assert.Equal([EndedBy.MaxTokens, EndedBy.MaxPositions, EndedBy.Caller], completions.Select(c => c.EndedBy));
    }

    [Fact]
    public void Tokens_are_told_in_order_without_stop_tokens()
    {
        using var decoder = new Counting(maxPositions: 100);
        var told = new List<(int, int)>();
        new Generator(decoder, SamplingSettings.Greedy, Stops, maxTokens: 9).Generate([[4], [5]], (row, id) => { told.Add((row, id)); return true; });
        Assert.Equal([(0, 5), (1, 6), (0, 6)], told);
    }

    [Fact]
    public void The_same_seed_gives_the_same_tokens_whatever_rows_stand_beside()
    {
        using var decoder = new Counting(maxPositions: 100, flat: true);
        var sampling = new SamplingSettings { Temperature = 1, Seed = 5 };
        var alone = new Generator(decoder, sampling, new HashSet<int>(), 20).Generate([[4]])[0].Ids;
        var together = new Generator(decoder, sampling, new HashSet<int>(), 20).Generate([[4], [4]]);
        Assert.Equal(alone, together[0].Ids);
        Assert.NotEqual(alone, together[1].Ids);
        Assert.NotEqual(alone, new Generator(decoder, sampling with { Seed = 6 }, new HashSet<int>(), 20).Generate([[4]])[0].Ids);
    }

    [Fact]
    public void What_cannot_be_continued_is_an_error()
    {
        using var decoder = new Counting(maxPositions: 3);
        Assert.Throws<HaloException>(() => new Generator(decoder, SamplingSettings.Greedy, Stops, 1).Generate([[]]));
        Assert.Throws<HaloException>(() => new Generator(decoder, SamplingSettings.Greedy, Stops, 1).Generate([[1, 2, 3]]));
        Assert.Throws<HaloException>(() => new Generator(decoder, SamplingSettings.Greedy, Stops, 0).Generate([[1]]));
    }

    /// <summary>The most likely token is the last one plus one; where flat, all are as likely.</summary>
    private sealed class Counting(int maxPositions, bool flat = false) : IDecoder
    {
        public int MaxPositions => maxPositions;

        public IDecoding Begin(IReadOnlyList<int[]> prompts, int room) => new Rows([.. prompts.Select(p => p[^1])], flat);

        public void Dispose() { }

        private sealed class Rows(int[] last, bool flat) : IDecoding
        {
            public ReadOnlySpan<float> Next(int row)
            {
                var logits = new float[16];
                logits[(last[row] + 1) % 16] = flat ? 0 : 1;
                return logits;
            }

            public void Append(IReadOnlyList<int?> tokens)
            {
                for (var row = 0; row < last.Length; row++)
                    last[row] = tokens[row] ?? -1;
            }

            public void Dispose() { }
        }
    }
}
