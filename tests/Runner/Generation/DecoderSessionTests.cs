using Halo.Runner.Generation;
using Halo.Runner.Sessions;
using Halo.Tests.Models;
using Halo.Tests.Numerics;

namespace Halo.Tests.Runner.Generation;

/// <summary>What Transformers wrote behind the prompts of <c>generate-cases.json</c>: alone and together, with the cache and without.</summary>
public sealed class DecoderSessionTests
{
    private static readonly List<(int[] Prompt, int[] Greedy, (int Id, double Logit)[] Best)> Cases =
    [
        .. Fixture.Json("generate-cases.json").EnumerateArray().Select(c => (
            Fixture.Ints(c.GetProperty("prompt_ids")), Fixture.Ints(c.GetProperty("greedy_ids")),
            c.GetProperty("next_top5").EnumerateArray().Select(t => (t[0].GetInt32(), t[1].GetDouble())).ToArray())),
    ];

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Greedy_ids_are_those_of_Transformers(bool useCache)
    {
        using var session = Open(useCache);
        foreach (var (prompt, greedy, _) in Cases)
            Assert.Equal(greedy, Ids(session, [prompt], greedy.Length)[0]);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Rows_of_different_lengths_get_what_they_get_alone(bool useCache)
    {
        using var session = Open(useCache);
        Assert.True(Cases.Select(c => c.Prompt.Length).Distinct().Count() > 1);
        Assert.Equal(Cases.Select(c => c.Greedy), Ids(session, [.. Cases.Select(c => c.Prompt)], Cases[0].Greedy.Length));
    }

    [Fact]
    public void The_best_next_tokens_have_the_logits_of_Transformers()
    {
        using var session = Open(useCache: true);
        using var decoding = session.Begin([.. Cases.Select(c => c.Prompt)]);
        for (var row = 0; row < Cases.Count; row++)
        {
            var logits = decoding.Next(row).ToArray();
            Assert.Equal(Cases[row].Best.Select(b => b.Id), Enumerable.Range(0, logits.Length).OrderByDescending(id => logits[id]).Take(5));
            foreach (var (id, logit) in Cases[row].Best)
                Assert.Equal(logit, logits[id], Tolerances.Logits);
        }
    }

    [Fact]
    public void A_row_that_is_over_does_not_change_the_others_nor_grow()
    {
        using var session = Open(useCache: true);
        var (first, second) = (Cases[0], Cases[1]);
        var filler = Enumerable.Repeat(3, session.MaxPositions - 1).ToArray(); // one token more and it is as long as the model takes
        var completions = new Generator(session, SamplingSettings.Greedy, new HashSet<int>(), 8).Generate([first.Prompt, filler, second.Prompt]);
        Assert.Equal([EndedBy.MaxTokens, EndedBy.MaxPositions, EndedBy.MaxTokens], completions.Select(c => c.EndedBy));
        Assert.Equal(first.Greedy[..8], completions[0].Ids);
        Assert.Equal(second.Greedy[..8], completions[2].Ids);
    }

    private static DecoderSession Open(bool useCache)
    {
        var settings = new SessionSettings { Operators = OperatorKernels.Functions };
        return new DecoderSession(new GraphSession(Path.Combine(InferenceFixture.Folder, "model.onnx"), settings), 1024, useCache);
    }

    private static List<IReadOnlyList<int>> Ids(DecoderSession session, IReadOnlyList<int[]> prompts, int count) =>
        [.. new Generator(session, SamplingSettings.Greedy, new HashSet<int>(), count).Generate(prompts).Select(c => c.Ids)];
}
