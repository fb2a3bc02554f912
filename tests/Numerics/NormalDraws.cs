namespace Halo.Tests.Numerics;

/// <summary>Draws from the standard normal distribution.</summary>
public static class NormalDraws
{
    /// <summary>One of a pair of Box and Muller's; takes two numbers of <paramref name="random"/>.</summary>
    public static double NextNormal(this Random random) =>
        Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
}
