using Halo.Ir;
using Halo.Operators;

namespace Halo.Analysis;

/// <summary>Finds the linear layers of a graph and which products are their F, E and G, by structure alone.</summary>
/// <remarks>
/// A weight is a parameter that a product reads. F is a product of it that the loss depends on; E contracts the weight's other axis and
/// the loss does not depend on it; G ends in <c>grad.W</c> and reads the X of an F. Names matter in one place: the interface pairs the
/// parameter <c>W</c> with the output <c>grad.W</c>. Sizes matter nowhere. Works on a rewritten graph as on a plain one.
/// </remarks>
public sealed class LinearGemms
{
    private readonly Graph _graph;
    private readonly HashSet<Node> _forward;
    private readonly bool _takesParameters;
    private readonly RepeatedValues _repeated;
    private readonly List<SkippedProduct> _skipped = [];

    private LinearGemms(Graph graph)
    {
        _graph = graph;
        _forward = Forward(graph);
        _repeated = new RepeatedValues(graph);
        _takesParameters = graph.Inputs.Any(i => i.Type.IsFloat() && i.Shape is { Rank: 1 or 2 } // caches have four axes
            && !AdapterNames.IsFactor(i.Name)); // which stay inputs where a graph holds its weights
    }

    /// <summary>The linear layers in the order of their first product, and the products that belong to none.</summary>
    public static (IReadOnlyList<LinearLayer> Layers, IReadOnlyList<SkippedProduct> Skipped) In(Graph graph)
    {
        var analysis = new LinearGemms(graph);
        var layers = analysis.Find();
        return (layers, analysis._skipped);
    }

    private List<LinearLayer> Find()
    {
        var byWeight = new Dictionary<Value, List<(Node Node, GemmOperand A, GemmOperand B)>>();
        var order = new List<Value>();
        var unclaimed = new HashSet<Node>();
        foreach (var node in _graph.Nodes)
        {
            if (OperandTrace.Operands(node) is not { } operands)
                continue;
            switch (WeightSide(operands.A, operands.B))
            {
                case Side.Right:
                    if (!byWeight.TryGetValue(operands.B.Root, out var products))
                    {
                        byWeight.Add(operands.B.Root, products = []);
                        order.Add(operands.B.Root);
                    }
                    products.Add((node, operands.A, operands.B));
                    break;
                case Side.Left:
                    Skip(node, "the weight is the left operand");
                    break;
                default:
                    unclaimed.Add(node);
                    break;
            }
        }
        var layers = order.Select(weight => Layer(weight, byWeight[weight])).OfType<LinearLayer>().ToList();
        unclaimed.ExceptWith(layers.SelectMany(l => l.Gemms).Select(g => g.Node));
        foreach (var node in _graph.Nodes.Where(unclaimed.Contains))
            Skip(node, "both operands are activations");
        return layers;
    }

    private LinearLayer? Layer(Value weight, List<(Node Node, GemmOperand A, GemmOperand B)> products)
    {
        var contracted = products.Where(p => _forward.Contains(p.Node)).Select(p => p.B.IsTransposed).Distinct().ToList();
        if (contracted.Count != 1)
        {
            foreach (var (node, _, _) in products)
                Skip(node, contracted.Count == 0 ? $"no forward product reads '{weight.Name}'" : $"forward products contract both axes of '{weight.Name}'");
            return null;
        }
        var gemms = new List<LinearGemm>();
        foreach (var (node, a, b) in products)
        {
            // A product outside the forward part that contracts the same axis is F computed once more (activation checkpointing).
            var role = b.IsTransposed == contracted[0] ? GemmRole.F : GemmRole.E;
            if (a.IsTransposed)
                Skip(node, "the activation is read transposed");
            else if (Scales(node))
                Skip(node, "Gemm with alpha or beta other than 1");
            else
                gemms.Add(new LinearGemm(role, node, a, b, node.Output, false));
        }
        if (gemms.Count == 0)
            return null;
        var hasGradient = _graph.TryGetValue(TrainingNames.GradientOf(weight.Name), out var gradient) && gradient.IsGraphOutput;
        if (hasGradient)
            gemms.AddRange(Gradients(weight, gradient!, [.. gemms.Where(g => g.Role == GemmRole.F).Select(g => _repeated.Of(g.A.Root))]));
        return new LinearLayer(weight, !hasGradient, gemms.Any(g => g.Role == GemmRole.F && IsHead(g)), [.. gemms.OrderBy(g => g.Role)]);
    }

    private static bool Scales(Node node) => node.Is("Gemm")
        && (node.Float("alpha", 1) != 1 || (node.Input(2) is not null && node.Float("beta", 1) != 1));

    /// <summary>The products that <paramref name="gradient"/> is the sum of, one of whose operands is the X of a forward product.</summary>
    private List<LinearGemm> Gradients(Value weight, Value gradient, HashSet<Value> inputs)
    {
        var found = new List<LinearGemm>();
        var pending = new Stack<(Value Value, Value? Sum)>([(gradient, null)]);
        var seen = new HashSet<Value>();
        while (pending.TryPop(out var at))
        {
            if (at.Value.Producer is not { } node || !seen.Add(at.Value))
                continue;
            if (OperandTrace.Operands(node) is { } operands)
            {
                var isRight = inputs.Contains(_repeated.Of(operands.B.Root)) && operands is { A.IsTransposed: true, B.IsTransposed: false };
                var isFlipped = inputs.Contains(_repeated.Of(operands.A.Root)) && operands is { A.IsTransposed: true, B.IsTransposed: false };
                if (isRight)
                    found.Add(new LinearGemm(GemmRole.G, node, operands.A, operands.B, at.Sum ?? node.Output, false));
                else if (isFlipped)
                    found.Add(new LinearGemm(GemmRole.G, node, operands.B with { IsTransposed = true }, operands.A with { IsTransposed = false },
                        at.Sum ?? node.Output, true));
                else
                    Skip(node, $"ends in the gradient of '{weight.Name}' but reads no input of its forward product");
            }
            else if (node.Is("Add") || node.Is("Sum"))
            {
                foreach (var input in node.Inputs)
                    pending.Push((input!, null));
            }
            else if (node.Is("ReduceSum") && node.Int("keepdims", 1) == 0 && node.Inputs[0]!.Shape is { Rank: > 2 } && node.Output.Shape is { Rank: 2 })
            {
                pending.Push((node.Inputs[0]!, node.Output)); // a batched product summed over the batch
            }
            else if (node.Facts.Role is OperatorRole.View { KeepsContent: true } or OperatorRole.Rotation or OperatorRole.Ordering)
            {
                pending.Push((node.Inputs[0]!, null));
            }
        }
        found.Reverse(); // the stack saw the last summand first
        return found;
    }

    private enum Side
    {
        None,
        Left,
        Right,
    }

    /// <summary>Which operand is a parameter; of two, the one with a gradient, for a graph may take its activations as inputs.</summary>
    private Side WeightSide(GemmOperand a, GemmOperand b)
    {
        var (left, right) = (IsParameter(a.Root), IsParameter(b.Root));
        if (left && right)
            (left, right) = (HasGradient(a.Root), HasGradient(b.Root));
        return (left, right) switch
        {
            (false, true) => Side.Right,
            (true, false) => Side.Left,
            _ => Side.None,
        };
    }

    private bool HasGradient(Value value) => _graph.TryGetValue(TrainingNames.GradientOf(value.Name), out var gradient) && gradient.IsGraphOutput;

    private static bool IsParameter(Value value) => value.Producer is null && value.Shape is { Rank: 2 } && value.Type.IsFloat();

    /// <summary>The loss, or in a graph without one every output that is no gradient, reached without meeting another parameter.</summary>
    private bool IsHead(LinearGemm gemm)
    {
        var pending = new Stack<Node>(Readers(gemm.Output));
        var seen = new HashSet<Node>();
        while (pending.TryPop(out var node))
        {
            if (!seen.Add(node))
                continue;
            foreach (var input in node.Inputs)
            {
                if (input is not null && IsWeightLike(input))
                    return false;
            }
            foreach (var reader in node.Outputs.SelectMany(Readers))
                pending.Push(reader);
        }
        return _forward.Contains(gemm.Node);

        IEnumerable<Node> Readers(Value value) => value.Uses.Select(u => u.Node).Where(_forward.Contains);
    }

    /// <summary>A parameter: a float input where the graph takes its parameters as inputs, else an initializer of more than one element.</summary>
    private bool IsWeightLike(Value value)
    {
        var root = OperandTrace.Root(value);
        return root.Type.IsFloat()
            && (_takesParameters ? root.IsGraphInput : root.Initializer is not null && root.Shape is { Rank: 1 or 2, ElementCount: > 1 });
    }

    private static HashSet<Node> Forward(Graph graph)
    {
        var loss = graph.Outputs.FirstOrDefault(o => o.Name == TrainingNames.Loss);
        return Ancestors.Of(loss is null ? graph.Outputs.Where(o => !TrainingNames.IsGradient(o)) : [loss]);
    }

    private void Skip(Node node, string reason) => _skipped.Add(new SkippedProduct(node, reason));
}
