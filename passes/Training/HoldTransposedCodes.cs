using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Passes.Training;

/// <summary>Codes of frozen weights that a product reads across their rows are held in that order, too, by inputs of their own.</summary>
/// <remarks>
/// The matrix units of GPUs multiply 8-bit operands whose contracted axis lies together, and E contracts the rows of W (out, in): a product transposes the codes of
/// a frozen weight in front of itself, in each step. Codes (n, k) that the graph takes as an input (<see cref="FrozenBase"/>: held ones alone are) get a second
/// input (k, n), a byte a weight, which <see cref="FrozenBase.AddTransposed"/> has computed once. Weights are taken in the order of the graph's products, those that still fit.
/// </remarks>
/// <param name="Bytes">The most that all second copies take.</param>
public sealed record HoldTransposedCodes(long Bytes = long.MaxValue) : IGraphPass
{
    /// <summary>The key of an input's metadata that names the input whose transpose it is.</summary>
    internal const string Key = "halo.transposed";

    public string Name => "hold-transposed-codes";

    public ValueEffect Effect => new ValueEffect.Exact();

    public PassResult Run(Model model, PassContext context)
    {
        var left = Bytes - In(model.Graph).Sum(v => v.Shape!.ElementCount!.Value);
        var turned = In(model.Graph).ToDictionary(v => v.Metadata[Key], StringComparer.Ordinal);
        var rewrites = 0;
        foreach (var product in model.Graph.Nodes.Where(n => n.Is(nameof(ScaledMatMul), HaloDomain.Name)).ToList())
        {
            foreach (var (operand, flag, wanted) in new[] { (0, "transA", 0L), (2, "transB", 1L) })
            {
                if (product.Int(flag, 0) == wanted || HeldOf(product.Inputs[operand]!) is not { Shape: { Rank: 2, IsStatic: true } shape } held)
                    continue;
                if (!turned.TryGetValue(held.Name, out var other))
                {
                    if (shape.ElementCount > left)
                    {
                        context.Skip(product, $"'{held.Name}' takes {shape.ElementCount} bytes once more, and {left} are left");
                        continue;
                    }
                    left -= shape.ElementCount!.Value;
                    turned.Add(held.Name, other = Input(model.Graph, held));
                }
                context.Step(product, $"read '{held.Name}' transposed");
                var codes = other.Type == product.Inputs[operand]!.Type ? other
                    : GraphBuilder.Before(product, "").BitCast(other, product.Inputs[operand]!.Type, model.Graph.FreeName($"{other.Name}/floats"));
                product.ReplaceInput(operand, codes);
                product.Attributes[flag] = Ir.Attribute.Of(flag, wanted);
                rewrites++;
            }
        }
        if (rewrites > 0)
            PassManager.Run(model, [new Cleanup.RemoveDeadCode()], new PassOptions());
        return new PassResult(rewrites);
    }

    /// <summary>The inputs that hold codes transposed.</summary>
    internal static IReadOnlyList<Value> In(Graph graph) => [.. graph.Inputs.Where(IsTransposed)];

    /// <summary>Whether an input holds codes transposed, which backward parts alone read.</summary>
    public static bool IsTransposed(Value input) => input.Metadata.ContainsKey(Key);

    /// <summary>The input whose codes these are, in the order in which the frozen base gives them.</summary>
    private static Value? HeldOf(Value codes)
    {
        var held = codes.Producer is { } node && node.Is(nameof(BitCast), HaloDomain.Name) ? node.Inputs[0]! : codes;
        return held.IsGraphInput && held.Type.Bits() == 8 && !held.Metadata.ContainsKey(Key) ? held : null;
    }

    private static Value Input(Graph graph, Value held)
    {
        var input = graph.AddInput(new Value(graph.FreeName($"{held.Name}/transposed"), held.Type, Shape.Of(held.Shape!.Sizes[1], held.Shape.Sizes[0])));
        (input.Metadata[FrozenBase.HeldKey], input.Metadata[Key]) = ("true", held.Name);
        return input;
    }
}
