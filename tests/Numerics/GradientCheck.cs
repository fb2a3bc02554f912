namespace Halo.Tests.Numerics;

/// <summary>Compares a gradient with central differences along a random direction.</summary>
public static class GradientCheck
{
    /// <summary>
    /// With third derivatives of about 1, h^2 of truncation is 1e-10 of the slope, and the rounding of two values 2^-53 / h of their size.
    /// </summary>
    private const double Step = 1e-5;

    /// <summary>Rounding of a value in units of its size, float64; values summed in it may have a few.</summary>
    private const double Roundoff = 1.0 / (1L << 50);

    /// <summary>
    /// (f(x + h d) - f(x - h d)) / 2h = sum over k of gradients[k] d[k], d normal; each element of a gradient may be off by its tolerance,
    /// which is given for tensor k and element i. A function that computes in less than float64 has its own roundoff, and wants a larger step.
    /// </summary>
    public static void Along(
        Random random, ScalarFunction f, IReadOnlyList<double[]> gradients, Func<int, int, double> tolerance, double step = Step, double roundoff = Roundoff)
    {
        Assert.Equal(f.Point.Select(x => x.Length), gradients.Select(g => g.Length));
        var direction = f.Point.Select(x => Array.ConvertAll(x, _ => random.NextNormal())).ToArray();
        var (above, below) = (f.Value(Moved(step)), f.Value(Moved(-step)));
        double expected = (above - below) / (2 * step), found = 0, magnitude = 0, bound = 0;
        for (var k = 0; k < gradients.Count; k++)
        {
            for (var i = 0; i < gradients[k].Length; i++)
            {
                found += gradients[k][i] * direction[k][i];
                magnitude += Math.Abs(gradients[k][i] * direction[k][i]);
                bound += tolerance(k, i) * Math.Abs(direction[k][i]);
            }
        }
        bound += (100 * step * step * (1 + magnitude)) + ((Math.Abs(above) + Math.Abs(below)) * roundoff / step);
        if (!(Math.Abs(found - expected) <= bound))
            Assert.Fail($"along a random direction: expected a slope of {expected:R} within {bound:E1}, found {found:R}");

        double[][] Moved(double h) => [.. f.Point.Zip(direction, (x, d) => x.Zip(d, (xi, di) => xi + h * di).ToArray())];
    }

    /// <summary>As the other, with the error of each tensor's gradient relative to its norm.</summary>
    public static void Along(Random random, ScalarFunction f, IReadOnlyList<double[]> gradients, double relative)
    {
        var bounds = gradients.Select(g => relative * Math.Sqrt(g.Sum(v => v * v)) / g.Length).ToArray();
        Along(random, f, gradients, (k, _) => bounds[k]);
    }
}
