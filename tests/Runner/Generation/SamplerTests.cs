using Halo.Runner.Data;
using Halo.Runner.Generation;

namespace Halo.Tests.Runner.Generation;

public sealed class SamplerTests
{
    private const int Draws = 200_000;
    private static readonly float[] Logits = [1.5f, -0.5f, 2.25f, 0f, 2.25f, -3f, 1f, float.NegativeInfinity];

    public static TheoryData<double, int?, double> Settings => new()
    {
        { 1, null, 1 }, { 0.7, null, 1 }, { 2, null, 1 }, { 1, 3, 1 }, { 1, 1, 1 }, { 1, 20, 1 }, { 1, null, 0.8 }, { 1.3, null, 0.3 }, { 0.9, 5, 0.75 },
    };

    [Fact]
    public void Greedy_takes_the_first_of_the_most_likely()
    {
        Assert.Equal(2, Sampler.Pick(Logits, SamplingSettings.Greedy, 0.99));
        Assert.Equal(1, Sampler.Pick([float.NegativeInfinity, -7f], SamplingSettings.Greedy, 0));
    }

    [Theory]
    [MemberData(nameof(Settings))]
    public void Draws_have_the_distribution_of_the_plain_formula(double temperature, int? topK, double topP)
    {
        var settings = new SamplingSettings { Temperature = temperature, TopK = topK, TopP = topP };
        var expected = Plain(temperature, topK, topP);
        var random = new SplitMix64(17);
        var counts = new int[Logits.Length];
        for (var n = 0; n < Draws; n++)
            counts[Sampler.Pick(Logits, settings, random.NextDouble())]++;
        for (var id = 0; id < counts.Length; id++)
        {
            // Five standard deviations of a count; where a token is impossible there is none.
            var bound = 5 * Math.Sqrt(Draws * expected[id] * (1 - expected[id]));
            Assert.InRange(counts[id] - (Draws * expected[id]), -bound - 1e-6, bound + 1e-6);
        }
    }

    [Fact]
    public void Every_random_number_gives_a_token_that_is_kept()
    {
        var settings = new SamplingSettings { Temperature = 1, TopP = 0.5 };
        foreach (var random in (double[])[0, double.Epsilon, 0.5, 1 - Math.Pow(2, -53)])
            Assert.Contains(Sampler.Pick(Logits, settings, random), (int[])[2, 4]);
        Assert.Equal(6, Sampler.Pick(Logits, new SamplingSettings { Temperature = 1, TopK = 4 }, 1 - Math.Pow(2, -53)));
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    public void Logits_that_are_no_numbers_are_an_error(float bad)
    {
        var error = Assert.Throws<InvalidOperationException>(() => Sampler.Pick([0, bad, 1], SamplingSettings.Greedy, 0));
        Assert.Contains("for token 1", error.Message, StringComparison.Ordinal);
        Assert.Throws<InvalidOperationException>(() => Sampler.Pick([float.NegativeInfinity], SamplingSettings.Greedy, 0));
        Assert.Throws<InvalidOperationException>(() => Sampler.Pick([], SamplingSettings.Greedy, 0));
    }

    [Fact]
    public void Settings_out_of_range_are_errors()
    {
        SamplingSettings[] wrong =
            [new() { Temperature = 0 }, new() { Temperature = double.NaN }, new() { TopK = 0 }, new() { TopP = 0 }, new() { TopP = 1.1 }];
        foreach (var settings in wrong)
            Assert.Throws<HaloException>(settings.Check);
    }

    /// <summary>The definition: the highest K, softmax over them at the temperature, the fewest of those that hold P, each over what they hold.</summary>
    private static double[] Plain(double temperature, int? topK, double topP)
    {
        var ordered = Logits.Select((logit, id) => (Logit: (double)logit, Id: id)).OrderByDescending(x => x.Logit).ThenBy(x => x.Id);
        var kept = ordered.Take(topK ?? Logits.Length).ToList();
        var sum = kept.Sum(x => Math.Exp(x.Logit / temperature));
        var probabilities = kept.ConvertAll(x => (x.Id, Probability: Math.Exp(x.Logit / temperature) / sum));
        var count = 1;
        while (probabilities.Take(count).Sum(x => x.Probability) < topP - 1e-12 && count < probabilities.Count)
            count++;
        var held = probabilities.Take(count).Sum(x => x.Probability);
        var result = new double[Logits.Length];
        foreach (var (id, probability) in probabilities.Take(count))
            result[id] = probability / held;
        return result;
    }
}
