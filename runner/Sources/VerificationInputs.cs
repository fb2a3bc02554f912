using Halo.Analysis;
using Halo.Ir;

namespace Halo.Runner.Sources;

/// <summary>Plausible inputs for a graph from its interface alone: small random weights, random tokens, a full mask.</summary>
/// <remarks>Drawn from a fixed seed, so that a verified rewrite gives the same ledger every time.</remarks>
internal static class VerificationInputs
{
    private const int Seed = 20250102;
    private const double WeightDeviation = 0.05;

    /// <exception cref="HaloException">An input has unknown sizes or a type that cannot be made up.</exception>
    public static IReadOnlyDictionary<string, Tensor> For(Graph graph)
    {
        var random = new Random(Seed);
        var vocabulary = VocabularyOf(graph);
        return graph.Inputs.Where(i => i.Initializer is null).ToDictionary(i => i.Name, i => Make(i, vocabulary, random));
    }

    private static Tensor Make(Value input, long vocabulary, Random random)
    {
        if (input.Shape is not { IsStatic: true } shape)
            throw new HaloException("verify", $"input '{input.Name}'", "fixed sizes", input.Shape?.ToString() ?? "an unknown shape",
                "Verify a graph of one batch and sequence length.");
        var count = checked((int)shape.ElementCount!.Value);
        switch (input.Type)
        {
            case ElementType.Float:
                // Vectors of a LLaMA are norm weights, around one.
                var center = shape.Rank == 1 ? 1.0 : 0.0;
                return Tensor.Floats(shape.Sizes, Fill(count, () => (float)(center + WeightDeviation * Normal(random))));
            case ElementType.Int64:
                var isMask = input.Name.Contains("mask", StringComparison.Ordinal);
                if (input.Name == TrainingNames.PositionIds)
                    return Tensor.Of<long>(ElementType.Int64, shape.Sizes, [.. Enumerable.Range(0, count).Select(i => i % shape.Sizes[^1])]);
                return Tensor.Of<long>(ElementType.Int64, shape.Sizes,
                    Fill(count, () => isMask ? 1L : input.Name == TrainingNames.DocumentIds ? 0L : random.NextInt64(vocabulary)));
            default:
                throw new HaloException("verify", $"input '{input.Name}'", "float or int64", input.Type.Name(), "Verify the float32 graph.");
        }
    }

    /// <summary>Rows of the embedding: the parameter that a Gather reads by rows.</summary>
    private static long VocabularyOf(Graph graph) => graph.Nodes
        .Where(n => n.Is("Gather") && n.Inputs[0]!.Producer is null && n.Inputs[0]!.Shape is { Rank: 2, IsStatic: true })
        .Select(n => n.Inputs[0]!.Shape![0].Size!.Value).DefaultIfEmpty(2).Min();

    private static T[] Fill<T>(int count, Func<T> next)
    {
        var values = new T[count];
        for (var i = 0; i < count; i++)
            values[i] = next();
        return values;
    }

    /// <summary>Box and Muller's.</summary>
    private static double Normal(Random random) => Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
}
