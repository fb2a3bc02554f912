using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Passes.Fusion;

/// <summary>Tensors that are turned back by the same rotation and added are added first, and turned back once.</summary>
/// <remarks>
/// H a + H b = H (a + b): the input gradients of layers that read one tensor (q, k and v; gate and up) are rotated along the same axes, so that of 2 n rotations
/// two are left; what they add are products, which fuse-additions sums where they are made. Behind every analysis, which looks for the rotations of a product.
/// </remarks>
public sealed record FuseSiblings() : IGraphPass
{
    /// <summary>Sums in another order move codes that lie between two, by a step of their format, in every layer behind: llama-tiny's gradients by up to
    /// 5 %.</summary>
    internal const double Bound = 0.1;

    public string Name => "fuse-siblings";

    public ValueEffect Effect => new ValueEffect.Reassociating(Bound);

    public PassResult Run(Model model, PassContext context)
    {
        var rewrites = 0;
        for (var left = new Queue<Node>(model.Graph.Nodes.Where(n => n.Is("Add"))); left.TryDequeue(out var add);)
        {
            if (RotationOf(add.Inputs[0]!) is not { } first || RotationOf(add.Inputs[1]!) is not { } second || !AreEqual(first, second))
                continue;
            context.Step(add, $"turn back the sum of what {first} and {second} turn back");
            var build = GraphBuilder.Before(add);
            var sum = build.Op("sum", "Add", [first.Inputs[0], second.Inputs[0]]);
            Replacement.OfNode(model.Graph, add, old => GraphBuilder.Before(add, "").HadamardTransform(sum, (int)first.Int("axis", 1), first.Ints("blocks")!,
                first.Int("inverse", 0) != 0, old.Name + Replacement.Suffix));
            model.Graph.Remove(first);
            model.Graph.Remove(second);
            left.Enqueue(sum.Producer!);
            rewrites++;
        }
        return new PassResult(rewrites);
    }

    /// <summary>The rotation whose result the sum alone reads.</summary>
    private static Node? RotationOf(Value value) => value is { IsGraphOutput: false, Uses.Count: 1, Producer: { } node }
        && node.Is(nameof(HadamardTransform), HaloDomain.Name) ? node : null;

    private static bool AreEqual(Node first, Node second) => first.Overload == second.Overload && first.Output.Shape is { IsStatic: true } shape
        && second.Output.Shape is { } other && shape.Equals(other);
}
