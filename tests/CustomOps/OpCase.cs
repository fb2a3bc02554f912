using Halo.Building;
using Halo.Ir;
using Halo.Tests.Numerics;

namespace Halo.Tests.CustomOps;

/// <summary>Float32 data with sizes, as it goes into ONNX Runtime and comes out.</summary>
public sealed record HostTensor(long[] Sizes, float[] Elements)
{
    public static HostTensor Normal(Random random, params long[] sizes) =>
        new(sizes, [.. Enumerable.Range(0, (int)sizes.Aggregate(1L, (a, b) => a * b)).Select(_ => Normal(random))]);

    public override string ToString() => $"[{string.Join(", ", Sizes)}]";

    private static float Normal(Random random) =>
        (float)(Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble()));
}

/// <summary>Rounding to 16-bit types, as a Cast does it.</summary>
public static class Bits
{
    public static float Round(float x, ElementType type) => type switch
    {
        ElementType.BFloat16 => RoundToBFloat16(x),
        ElementType.Float16 => (float)(Half)x,
        _ => x,
    };

    /// <summary>Half-even to the upper 16 bits of a finite float32.</summary>
    private static float RoundToBFloat16(float x)
    {
        var bits = BitConverter.SingleToUInt32Bits(x);
        return BitConverter.UInt32BitsToSingle((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000);
    }
}

/// <summary>What an output has to be: float64 values, and how far each may be off.</summary>
public sealed record Expected(double[] Elements, Func<int, double> Tolerance);

/// <summary>One call of an operator: its inputs, how the node is made, and what comes out by a slow, plainly right computation.</summary>
public sealed record OpCall(
    string Name, IReadOnlyList<HostTensor> Inputs, Func<Model, GraphBuilder, IReadOnlyList<Value>, IReadOnlyList<Value>> Build,
    Func<IReadOnlyList<Expected>> Oracle)
{
    /// <summary>Of an operator that computes a gradient: what its outputs are the gradient of.</summary>
    public ScalarFunction? GradientOf { get; init; }

    public override string ToString() => Name;
}

/// <summary>The test case of one operator; lies in the operator's folder and is found by type.</summary>
public abstract class OpCase(string opType)
{
    /// <summary>Unit roundoff of float32.</summary>
    protected const double Epsilon = 1.0 / (1 << 24);

    protected static readonly ElementType[] FloatTypes = [ElementType.Float, ElementType.BFloat16, ElementType.Float16];

    public string OpType { get; } = opType;

    public abstract IEnumerable<OpCall> Calls(Random random);

    /// <summary>The elements as the operator reads them in <paramref name="type"/>.</summary>
    protected static double[] Read(HostTensor x, ElementType type) => Array.ConvertAll(x.Elements, v => (double)Bits.Round(v, type));

    /// <summary>Graph inputs, which are float32, in <paramref name="type"/>.</summary>
    protected static Value[] InType(GraphBuilder build, IEnumerable<Value> inputs, ElementType type) =>
        [.. inputs.Select(x => type == ElementType.Float ? x : OpRunner.Cast(build, x, type, $"{x.Name}/cast"))];

    /// <summary>How far rounding a float32 to <paramref name="type"/> may move it: half a unit in the last place.</summary>
    protected static double Rounding(double x, ElementType type) => type switch
    {
        ElementType.BFloat16 => Math.Abs(x) / 256,
        ElementType.Float16 => Math.Abs(x) / 2048 + 1.0 / (1 << 25),
        _ => 0,
    };

    public static IReadOnlyList<OpCase> All { get; } =
    [
        .. typeof(OpCase).Assembly.GetTypes().Where(type => type.IsSubclassOf(typeof(OpCase))).Select(type => (OpCase)Activator.CreateInstance(type)!),
    ];
}
