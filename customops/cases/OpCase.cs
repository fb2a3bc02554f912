using Halo.Building;
using Halo.Ir;

namespace Halo.CustomOps.Cases;

/// <summary>
/// The cases of one operator. They lie in the operator's folder and are found by type; each call is run by its function body, by the native kernel of the CPU,
/// on an emulated GPU and on a real one, and a gradient is compared with the slope of its function. Those of <see cref="Benchmarks"/> are timed.
/// </summary>
public abstract class OpCase(string opType)
{
    /// <summary>Unit roundoff of float32.</summary>
    protected const double Epsilon = 1.0 / (1 << 24);

    protected static readonly ElementType[] FloatTypes = [ElementType.Float, ElementType.BFloat16, ElementType.Float16];

    public string OpType { get; } = opType;

    public abstract IEnumerable<OpCall> Calls(Random random);

    /// <summary>What <c>halo bench kernels</c> times on the CPU, at the sizes of llama-tiny's training graph: 8 x 256 tokens.</summary>
    public virtual IEnumerable<OpBenchmark> Benchmarks => [];

    /// <summary>A Cast node; its type and shape are set here and do not depend on the rules under test.</summary>
    public static Value Cast(GraphBuilder build, Value x, ElementType to, string name)
    {
        var y = build.Op(name, "Cast", [x], Attribute.Of("to", (long)to));
        (y.Type, y.Shape) = (to, x.Shape);
        return y;
    }

    /// <summary>The same call of a node that gives the largest magnitudes of its first outputs as well, each as far off as its tensor may be.</summary>
    protected OpCall WithMaxima(OpCall call) => new($"{call.Name} with maxima", call.Inputs,
        (build, inputs) => [.. HaloOperators.WithMaxima(build, call.Build(build, inputs)[0].Producer!, "maxima").Outputs],
        () =>
        {
            var expected = call.Oracle();
            var maxima = expected.Take(HaloOperators.All.First(op => op.OpType == OpType).Maxima).Select(tensor => new Expected(
                [tensor.Elements.Max(Math.Abs)], _ => Enumerable.Range(0, tensor.Elements.Length).Max(tensor.Tolerance)));
            return [.. expected, .. maxima];
        });

    /// <summary>The elements as the operator reads them in <paramref name="type"/>.</summary>
    protected static double[] Read(HostTensor x, ElementType type) => Array.ConvertAll(x.Elements, v => (double)Bits.Round(v, type));

    /// <summary>Graph inputs, which are float32, in <paramref name="type"/>.</summary>
    protected static Value[] InType(GraphBuilder build, IEnumerable<Value> inputs, ElementType type) =>
        [.. inputs.Select(x => type == ElementType.Float ? x : Cast(build, x, type, $"{x.Name}/cast"))];

    /// <summary>How far rounding a float32 to <paramref name="type"/> may move it: half a unit in the last place.</summary>
    protected static double Rounding(double x, ElementType type) => type switch
    {
        ElementType.BFloat16 => Math.Abs(x) / 256,
        ElementType.Float16 => Math.Abs(x) / 2048 + 1.0 / (1 << 25),
        _ => 0,
    };

    public static IReadOnlyList<OpCase> All { get; } =
    [
        .. typeof(OpCase).Assembly.GetTypes().Where(type => type.IsSubclassOf(typeof(OpCase)) && !type.IsAbstract)
            .Select(type => (OpCase)Activator.CreateInstance(type)!)
            .OrderBy(test => test.OpType, StringComparer.Ordinal),
    ];
}

/// <summary>The sizes of llama-tiny's training graph.</summary>
internal static class Tiny
{
    public const int Batch = 8, Sequence = 256, Tokens = Batch * Sequence, Hidden = 256, Ffn = 704, Vocabulary = 2048, Heads = 4, Groups = 2, Dim = 64;

    public const string HeadsShape = "8 x 4 x 256 x 64";

    /// <summary>Of a product of queries and keys, half a square of scores: a query sees no later key.</summary>
    public const double ScoreOperations = 2.0 * Batch * Heads * Sequence * Sequence * Dim / 2;

    /// <summary>Bytes of so many float32 tensors.</summary>
    public static double Tensors(int count, long elements) => 4.0 * count * elements;
}
