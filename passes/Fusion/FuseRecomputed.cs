using Halo.Analysis;
using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Operators;
using Halo.Passes.Cleanup;
using Halo.Passes.Infra;

namespace Halo.Passes.Fusion;

/// <summary>A gated unit that the backward part computes again is given by the unit's gradient, which reads the same tensors.</summary>
/// <remarks>
/// SwiGlu(gate, up) beside SwiGluGrad(dY, gate, up) becomes an output of that: two tensors are read once in place of twice. Where nothing that dY hangs on reads
/// it, as under an adapter: the gradient of A alone does. Then gate and up have one reader in the backward part, and <see cref="Training.SaveCodes"/> may keep
/// their codes. The gradient has to give its maxima, as where its results are quantized (<see cref="FuseProducers"/>).
/// </remarks>
public sealed record FuseRecomputed() : IGraphPass
{
    public string Name => "fuse-recomputed";

    public ValueEffect Effect => new ValueEffect.Exact();

    public PassResult Run(Model model, PassContext context)
    {
        var gradients = model.Graph.Nodes.Where(n => n.Is(nameof(SwiGluGrad), HaloDomain.Name)).ToLookup(n => (Kept(n.Inputs[1]!), Kept(n.Inputs[2]!)));
        var rewrites = model.Graph.Nodes.Where(n => n.Is(nameof(SwiGlu), HaloDomain.Name)).ToList()
            .Sum(unit => gradients[(Kept(unit.Inputs[0]!), Kept(unit.Inputs[1]!))].Take(1).Count(gradient => Fuse(model, context, unit, gradient)));
        if (rewrites > 0)
        {
            model.Graph.SortTopologically(); // what reads the unit may stand in front of the gradient
            PassManager.Run(model, [new RemoveDeadCode()], new PassOptions()); // what the unit waited for
        }
        return new PassResult(rewrites);
    }

    private static bool Fuse(Model model, PassContext context, Node unit, Node gradient)
    {
        if (gradient.Graph is null)
            return false; // it gave way to one that gives another copy
        var before = Ancestors.Of(gradient.Inputs[0]!);
        if (unit.Outputs[0].Uses.Count == 0 || unit.Outputs[0].Uses.Any(u => before.Contains(u.Node)))
        {
            context.Skip(unit, "the gradient of its output hangs on it");
            return false;
        }
        if (!HaloOperators.GivesAbsoluteMax(gradient) || SwiGluGrad.GivesY(gradient) || unit.Outputs.Skip(1).Any(o => o.Uses.Count > 0) || unit.Outputs.Any(o => o.IsGraphOutput))
        {
            context.Skip(unit, $"{gradient} gives no maxima or gives a unit already, or more of this one is read");
            return false;
        }
        context.Step(unit, $"take it from {gradient}");
        var (names, own, again) = (gradient.Outputs.Select(o => o.Name).ToList(), gradient.Name, unit.Outputs[0].Name);
        var made = GraphBuilder.Before(gradient, "").SwiGluGradWithY(gradient, names[0] + Replacement.Suffix);
        Replacement.OfNode(model.Graph, gradient, old => made.Outputs[old.ProducerIndex]);
        Replacement.OfNode(model.Graph, unit, _ => made.Outputs[^1]);
        foreach (var (output, name) in made.Outputs.Zip(names).Where(pair => pair.First.Name != pair.Second))
            model.Graph.Rename(output, model.Graph.FreeName(name));
        model.Graph.Rename(made.Outputs[^1], model.Graph.FreeName(again));
        made.Name = own;
        return true;
    }

    /// <summary>The tensor whose bits, behind what else is waited for, a value has.</summary>
    private static Value Kept(Value value) => value.Producer is { Facts.Role: OperatorRole.Ordering } node && node.Is(nameof(CustomOps.Barrier), HaloDomain.Name)
        ? Kept(node.Inputs[0]!) : value;
}
