using Halo.Analysis;
using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Infra;
using Halo.Passes.Training;

namespace Halo.Passes.Sharding;

/// <summary>Makes of a training graph, or of its forward part, that of one of several ranks, which share parameters, gradients and state by rows.</summary>
/// <remarks>
/// A parameter that is split becomes an input of this rank's rows, gathered before it is read: once for the forward nodes, once more for the backward nodes, so
/// that no rank holds a whole one in between; a vector once. A gradient is multiplied by the input <c>gradient_weight</c> (), this rank's share of the
/// update's counted tokens, and summed over the ranks; each keeps its rows of the sum, or all of it in mode none. Loss and logits stay those of the rank's own
/// micro-batch.
/// </remarks>
/// <param name="Mode">What is split.</param>
/// <param name="Ranks">How many ranks there are.</param>
/// <param name="Rank">Whose graph this becomes, from 0.</param>
/// <param name="NodeRanks">With <c>mode=hybrid</c>: ranks of a node.</param>
/// <param name="Gradients">
/// What gradients of matrices are sent as. In 8 bits they are rotated, rounded in blocks, exchanged, summed in float32 in the order of ranks, and turned back.
/// </param>
/// <param name="Base">
/// With <c>mode=none</c>: how the 8-bit codes that are held of frozen weights are split, full or hybrid; they are gathered before they are read.
/// </param>
/// <param name="Feedback">
/// With gradients in 8 bits: what rounding leaves of them is an output, float32, and an input of the next run, which adds it to the rotated gradient before that
/// is rounded. So what a rank has sent and what is left are together the sum of its gradients.
/// </param>
public sealed record Shard(ShardMode Mode, int Ranks, int Rank = 0, int? NodeRanks = null, SentGradients Gradients = SentGradients.Whole,
    ShardMode Base = ShardMode.None, bool Feedback = false) : IGraphPass
{
    /// <summary>Elements that share a scale where gradients are sent in 8 bits.</summary>
    private const int Block = 64;

    public string Name => "shard";

    /// <summary>Of one rank alone; ranks together give the gradients of all their rows.</summary>
    public ValueEffect Effect => Gradients == SentGradients.Whole ? new ValueEffect.Reassociating(1e-5) : new ValueEffect.Quantizing(20);

    private ShardPlan Plan => new(Mode, Ranks, Rank, NodeRanks ?? Ranks) { Base = Base };

    public void Requires(Model model)
    {
        if (Ranks < 1 || Rank < 0 || Rank >= Ranks)
            throw new PassException(Name, "rank", $"a number from 0 to {Ranks - 1}, and at least one rank", $"{Rank} of {Ranks}", "Give another rank.");
        if (Gradients != SentGradients.Whole && Mode == ShardMode.None)
        {
            throw new PassException(Name, "gradients", "whole with mode=none, where each rank has all of the sum", $"{Gradients}".ToLowerInvariant(),
                "Take another mode, or leave gradients whole.");
        }
        if (Feedback && (Gradients == SentGradients.Whole || Mode == ShardMode.Hybrid))
        {
            throw new PassException(Name, "feedback", "gradients in 8 bits, with mode=full or mode=state", $"gradients={Gradients} mode={Mode}".ToLowerInvariant(),
                "Give gradients=int8 or fp8 and another mode, or leave feedback out.");
        }
        if (NodeRanks is { } node && (node < 1 || Ranks % node != 0))
            throw new PassException(Name, "node-ranks", $"a divisor of {Ranks}", $"{node}", "Run as many ranks on each node.");
        if (Base is not (ShardMode.None or ShardMode.Full or ShardMode.Hybrid) || (Base != ShardMode.None && Mode != ShardMode.None))
            throw new PassException(Name, "base", "full or hybrid, with mode=none", $"{Base} and {Mode}".ToLowerInvariant(), "Adapters lie on every rank.");
        if (IsSharded(model.Graph) || Ranks == 1)
            return;
        RequireRows(Plan.Parts == 1 ? [] : ParametersOf(model.Graph), Plan);
        if (Base == ShardMode.None)
            return;
        if (CodesOf(model.Graph).Count == 0)
            throw new PassException(Name, "base", "8-bit codes that are held of frozen weights", "none", "Give --scheme and --format, or --shard none.");
        RequireRows(CodesOf(model.Graph), Plan.OfBase);
    }

    private void RequireRows(IReadOnlyList<Value> parameters, ShardPlan plan)
    {
        foreach (var parameter in parameters)
        {
            if (parameter.Shape is not { IsStatic: true, Rank: > 0 } shape || shape.Sizes[0] < plan.Parts)
            {
                throw new PassException(Name, $"parameter '{parameter.Name}'", $"fixed sizes, and a row for each of {plan.Parts} parts", $"{parameter.Shape}",
                    "Take fewer ranks, or mode=none.");
            }
        }
    }

    public PassResult Run(Model model, PassContext context)
    {
        var graph = model.Graph;
        if (Ranks == 1 || IsSharded(graph))
            return new PassResult(0);
        var forward = graph.TryGetValue(TrainingNames.Loss, out var loss) ? Ancestors.Of(loss) : [.. graph.Nodes];
        var gradients = graph.Outputs.Where(TrainingNames.IsGradient).ToList();
        var rewrites = 0;
        var (plan, split) = Plan.SplitsParameters ? (Plan, ParametersOf(graph)) : (Plan.OfBase, Base == ShardMode.None ? [] : CodesOf(graph));
        foreach (var parameter in split)
        {
            context.Step($"'{parameter.Name}'", $"hold part {plan.Part} of {plan.Parts}");
            Split(graph, parameter, forward, plan);
            rewrites++;
        }
        if (gradients.Count == 0)
            return new PassResult(rewrites);
        var weight = graph.AddInput(new Value(TrainingNames.GradientWeight, ElementType.Float, Shape.Scalar));
        foreach (var gradient in gradients)
        {
            context.Step($"'{gradient.Name}'", "sum over ranks");
            Sum(graph, gradient, weight, context);
            rewrites++;
        }
        return new PassResult(rewrites);
    }

    /// <summary>Float inputs that no batch fills.</summary>
    internal static IReadOnlyList<Value> ParametersOf(Graph graph) => [.. graph.Inputs.Where(i => i.Type.IsFloat() && i.Initializer is null
        && i.Name != TrainingNames.GradientWeight && !TrainingNames.TokenInputs.Contains(i.Name))];

    /// <summary>What is held of frozen weights in 8 bits or fewer, rows of them.</summary>
    private static IReadOnlyList<Value> CodesOf(Graph graph) =>
        [.. graph.Inputs.Where(i => FrozenBase.IsHeld(i) && i.Type.Bits() <= 8 && i.Shape is { Rank: 2 })];

    private static bool IsSharded(Graph graph) => graph.Nodes.Any(n => n.Facts.Role is Operators.OperatorRole.Collective);

    private static void Split(Graph graph, Value parameter, HashSet<Node> forward, ShardPlan plan)
    {
        var rows = plan.RowsOf(parameter.Shape!.Sizes[0]);
        var uses = parameter.Uses.ToList();
        parameter.Shape = plan.Of(parameter.Shape!);
        var first = graph.Nodes.FirstOrDefault();
        var isSmall = parameter.Shape!.Rank == 1; // costs a message more than its memory
        foreach (var (readers, part) in new[] { (uses.Where(u => isSmall || forward.Contains(u.Node)), "whole"),
            (uses.Where(u => !isSmall && !forward.Contains(u.Node)), "again") })
        {
            if (!readers.Any())
                continue;
            var whole = GraphBuilder.Before(first!, parameter.Name).Gather(parameter, rows, plan.Part, plan.Group, part);
            foreach (var use in readers)
                use.Node.ReplaceInput(use.Index, whole);
        }
    }

    private Value SumOfCodes(Graph graph, GraphBuilder build, Value gradient, string parameter, long[] rows)
    {
        var blocks = Hadamard.Blocks(gradient.Shape!.Sizes[1]);
        var rotated = build.HadamardTransform(gradient, 1, blocks, inverse: false, "rotated");
        var whole = Feedback ? WithResidual(graph, build, rotated, parameter) : rotated;
        var (codes, scales) = build.QuantizeRows(whole, Gradients == SentGradients.Int8 ? NumberFormat.Int8 : NumberFormat.E4M3, Block, "codes");
        if (Feedback)
        {
            var left = build.Op("left", "Sub", [whole, build.SumRows(codes, scales, Block, 1, "sent")]);
            graph.Rename(left, TrainingNames.UpdatedResidualPrefix + parameter);
            graph.AddOutput(left);
        }
        var sum = build.SumRows(build.Exchange(codes, rows, Plan.Part, Plan.Group, "codes/of_all"),
            build.Exchange(scales, rows, Plan.Part, Plan.Group, "scales/of_all"), Block, rows.Length, "sum_of_codes");
        var turned = build.HadamardTransform(sum, 1, blocks, inverse: true, "turned_back");
        return gradient.Type == ElementType.Float ? turned : build.Op("rows", "Cast", [turned], Attribute.Of("to", (long)gradient.Type));
    }

    /// <summary>The gradient with what rounding has left of those before it, float32.</summary>
    private static Value WithResidual(Graph graph, GraphBuilder build, Value rotated, string parameter)
    {
        var wide = rotated.Type == ElementType.Float ? rotated : build.Op("wide", "Cast", [rotated], Attribute.Of("to", (long)ElementType.Float));
        var residual = graph.AddInput(new Value(TrainingNames.ResidualPrefix + parameter, ElementType.Float, rotated.Shape));
        return build.Op("with_residual", "Add", [wide, residual]);
    }

    /// <summary>Vectors always are; a matrix where its rows are no whole blocks, which is said.</summary>
    private bool IsSentWhole(Value gradient, PassContext context)
    {
        if (Gradients == SentGradients.Whole || gradient.Shape is not { Rank: 2 } shape)
            return true;
        if (shape.Sizes[1] % Block == 0)
            return false;
        context.Skip(gradient.Producer!, $"'{gradient.Name}' is sent whole: its rows have {shape.Sizes[1]} elements, no multiple of {Block}");
        return true;
    }

    /// <summary>The gradient times this rank's weight. A product of codes that nothing else reads takes it in a scale: nothing is read and written once more.</summary>
    internal static Value Weighted(GraphBuilder build, Value gradient, Value weight)
    {
        if (gradient.Uses.Count == 0 && gradient.Producer is { } product && product.Is(nameof(ScaledMatMul), HaloDomain.Name) && product.Input(4) is null)
        {
            product.ReplaceInput(1, GraphBuilder.Before(product, gradient.Name).Op("weighted_scale", "Mul", [product.Inputs[1], weight]));
            return gradient;
        }
        var factor = gradient.Type == ElementType.Float ? weight : build.Op("weight", "Cast", [weight], Attribute.Of("to", (long)gradient.Type));
        return build.Op("weighted", "Mul", [gradient, factor]);
    }

    private void Sum(Graph graph, Value gradient, Value weight, PassContext context)
    {
        var rows = Plan.RowsOf(gradient.Shape!.Sizes[0]);
        var build = GraphBuilder.AfterDefinition(graph, gradient, gradient.Name); // its place says when it starts
        var sum = Weighted(build, gradient, weight);
        if (Mode == ShardMode.None)
            sum = build.Reduce(sum, "sum", Ranks, Rank, Collectives.World, "sum");
        else
            sum = IsSentWhole(gradient, context) ? build.ScatterSum(sum, rows, Plan.Part, Plan.Group, "rows")
                : SumOfCodes(graph, build, sum, gradient.Name[TrainingNames.GradientPrefix.Length..], rows);
        if (Mode == ShardMode.Hybrid && Ranks > Plan.NodeRanks)
            sum = build.Reduce(sum, "sum", Ranks / Plan.NodeRanks, Rank / Plan.NodeRanks, Collectives.Peers, "sum");
        graph.ReplaceOutput(gradient, sum);
    }
}
