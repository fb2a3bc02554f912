using Halo.Runner.Export;

namespace Halo.Tests.Runner.Export;

public sealed class LogitsDifferenceTests
{
    private const int Vocabulary = 3;

    [Fact]
    public void Figures_are_those_of_the_formulas()
    {
        float[] reference = [0, 1, 2, 5, 0, 0];
        float[] other = [0, 1, 1.5f, 4, 4.5f, 0];
        var difference = new LogitsDifference();
        difference.Add(reference, other, Vocabulary, [7, 1], [0, 1]);

        Assert.Equal(2, difference.Positions);
        Assert.Equal(4.5, difference.Largest, 6);
        Assert.Equal((0.5 + 1 + 4.5) / 6, difference.Mean, 6);
        Assert.Equal(0.5, difference.Agreement, 6);
        Assert.Equal((Divergence(reference[..3], other[..3]) + Divergence(reference[3..], other[3..])) / 2, difference.Divergence, 9);
        Assert.Equal(1, difference.Counted);
        Assert.Equal(-Math.Log(Softmax(other[..3])[1]), difference.Loss, 9);
    }

    [Fact]
    public void Equal_logits_differ_by_nothing()
    {
        var difference = new LogitsDifference();
        difference.Add([3, -1, 2], [3, -1, 2], Vocabulary, [0], [1]);
        Assert.Equal((0, 0, 1, 0), (difference.Largest, difference.Mean, difference.Agreement, difference.Divergence));
        Assert.Equal(0, difference.Counted); // no logit predicts the first token
        Assert.Empty(ParityBounds.Of(WeightType.Fp32).Broken(difference));
    }

    [Fact]
    public void A_logit_that_is_no_number_breaks_every_bound()
    {
        var difference = new LogitsDifference();
        difference.Add([3, -1, 2], [float.NaN, -1, 2], Vocabulary, [0], [1]); // where the reference's largest is
        difference.Add([3, -1, 2], [3, -1, 2], Vocabulary, [0], [1]);
        Assert.Equal(0.5, difference.Agreement);
        Assert.Equal((double.NaN, double.NaN), (difference.Largest, difference.Divergence));
        Assert.Equal(3, ParityBounds.Of(WeightType.Fp32).Broken(difference).Count());
        Assert.Contains("NaN", difference.ToJson().ToJsonString(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(WeightType.Fp32, 0.5)]
    [InlineData(WeightType.Int4, 3)]
    public void A_difference_out_of_bounds_is_told_with_what_was_found(WeightType weights, float shift)
    {
        var difference = new LogitsDifference();
        difference.Add([3, -1, 2], [3 - shift, -1 + shift, 2 + shift], Vocabulary, [0], [0]);
        Assert.Contains(ParityBounds.Of(weights).Broken(difference), line => line.Contains("found", StringComparison.Ordinal));
    }

    [Fact]
    public void Sizes_that_do_not_fit_are_refused() =>
        Assert.Throws<ArgumentException>(() => new LogitsDifference().Add([1, 2, 3], [1, 2, 3], Vocabulary, [0, 1], [0, 0]));

    private static double Divergence(float[] p, float[] q) => Softmax(p).Zip(Softmax(q), (a, b) => a * Math.Log(a / b)).Sum();

    private static double[] Softmax(float[] logits)
    {
        var sum = logits.Sum(l => Math.Exp(l));
        return [.. logits.Select(l => Math.Exp(l) / sum)];
    }
}
