using Halo.Building;
using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Passes.Export.Inference;

/// <summary>The rotary tables of a graph, (T, D/2), made as long as its cache: (N, D/2).</summary>
internal static class RotaryCache
{
    /// <summary>
    /// What rounding in float32 makes of an angle t f, f at most 1, that two programs compute: f and the product are rounded each, 2^-24 of what they are, and
    /// the power behind f may be off by a bit or two.
    /// </summary>
    private const float Rounding = 1f / (1 << 21);

    /// <summary>Tables of N rows, the first of which are those of the graph.</summary>
    /// <param name="rotary">A com.halo RotaryEmbedding without positions.</param>
    /// <param name="positions">N.</param>
    /// <param name="context">Has the model's tables, unless the graph's have N rows.</param>
    /// <param name="pass">For messages.</param>
    public static (Tensor Cos, Tensor Sin) Of(Node rotary, int positions, PassContext context, string pass)
    {
        if (rotary.Inputs[1]!.Initializer is not { } cos || rotary.Inputs[2]!.Initializer is not { } sin || cos.Sizes.Count != 2)
        {
            throw new PassException(pass, rotary, "forward", "tables (T, D/2) that are constant", $"{rotary.Inputs[1]} and {rotary.Inputs[2]}",
                "Run canonicalize first.");
        }
        if (cos.Sizes[0] == positions)
            return (cos, sin);
        if (context.RotaryTables is not { } source)
        {
            throw new PassException(pass, rotary, "forward", $"the model's rotary tables for {positions} positions",
                $"none beside the {cos.Sizes[0]} rows of the graph", "Give the config.json that the model was made with.");
        }
        var made = source(positions);
        Check(rotary, "cosines", cos, made.Cos, pass);
        Check(rotary, "sines", sin, made.Sin, pass);
        return made;
    }

    private static void Check(Node rotary, string what, Tensor graph, Tensor made, string pass)
    {
        var width = graph.Sizes[1];
        if (made.Sizes.Count != 2 || made.Sizes[1] != width)
        {
            throw new PassException(pass, rotary, "forward", $"{what} (T, {width}) as the graph has them", $"{made}",
                "Give the config.json that the model was made with: the size of its heads differs.");
        }
        var (known, rows) = (graph.ToArray<float>(), made.ToArray<float>());
        for (var i = 0L; i < Math.Min(known.LongLength, rows.LongLength); i++)
        {
            if (Math.Abs(known[i] - rows[i]) <= Rounding * (1 + (i / width)))
                continue;
            throw new PassException(pass, rotary, "forward", $"{what} as the graph has them, {known[i]:g6} at position {i / width}", $"{rows[i]:g6}",
                "Give the config.json that the model was made with: rope_theta or rope_scaling differs.");
        }
    }

    /// <summary>A table as an initializer, in the type of what is rotated.</summary>
    public static Value Add(GraphBuilder build, string name, Tensor table, ElementType type)
    {
        var value = build.Constant(name, table);
        return type == ElementType.Float ? value : build.Op($"{name}/{type.Name()}", "Cast", [value], Ir.Attribute.Of("to", (long)type));
    }
}
