using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Passes.Sharding;

/// <summary>Lets each rank do to its own rows what is done along rows, and gathers what comes of it: codes of 8 bits in place of parameters.</summary>
/// <remarks>
/// A gather moves behind casts that do not widen, behind rotations along the last axis, and behind Quantize; the largest magnitude that Quantize takes, or that a
/// rotation gives, becomes that of all ranks; so codes and scale are those of the whole tensor, to the bit. [HALO, HQ-FSDP] What two gathers of a parameter
/// share is computed once, the scale too. A gather whose value something else reads stays where it is.
/// </remarks>
public sealed record SinkGathers() : IGraphPass
{
    public string Name => "sink-gathers";

    public ValueEffect Effect => new ValueEffect.Exact();

    public PassResult Run(Model model, PassContext context)
    {
        var graph = model.Graph;
        var rows = new WorkOnRows(graph);
        var waiting = new Queue<Node>(graph.Nodes.Where(n => n.Outputs.Count > 0 && Collectives.GatherOf(n.Outputs[0]) is not null));
        var rewrites = 0;
        while (waiting.TryDequeue(out var wait))
        {
            var readers = wait.Output.Uses.Select(u => u.Node).Distinct().ToList();
            if (wait.Output.IsGraphOutput || readers.Count == 0)
                continue;
            if (readers.FirstOrDefault(n => !IsAlongRows(n, wait.Output)) is { } other)
            {
                context.Skip(wait, $"read by {other}, which is not done along rows");
                continue;
            }
            context.Step(wait, $"gather behind {string.Join(", ", readers.Select(r => r.OpType).Distinct())}");
            var start = wait.Inputs[0]!.Producer!;
            foreach (var reader in readers)
            {
                if (rows.Move(reader, start) is { } gathered)
                    waiting.Enqueue(gathered);
            }
            graph.Remove(wait);
            graph.Remove(start);
            rewrites++;
        }
        return new PassResult(rewrites);
    }

    private static bool IsAlongRows(Node node, Value x) => node.Inputs[0] == x && node.Inputs.Skip(1).All(i => i != x) && !node.Outputs.Any(o => o.IsGraphOutput)
        && node switch
        {
            { IsStandard: true, OpType: "Cast" } => node.Output.Type.Bits() <= x.Type.Bits(),
            { Domain: HaloDomain.Name, OpType: nameof(HadamardTransform) } => x.Shape is { Rank: 2 } && node.Int("axis", 1) == 1,
            { Domain: HaloDomain.Name, OpType: nameof(Quantize) } => true,
            _ => false,
        };
}
