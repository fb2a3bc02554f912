using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Passes.Fusion;

/// <summary>A rotation whose result is only quantized, by its own largest magnitude, becomes one operator with that, and its result no tensor.</summary>
/// <remarks>
/// H = HadamardTransform(X), Quantize(H, max |h|) -> HadamardQuantize(X): the same bits. Where a GPU has one kernel for both: elsewhere X would be kept until its
/// codes are there, for nothing. In the graph that is run, behind all that looks for rotations or codes by themselves: ranks, which gather codes under
/// the largest magnitude of all; codes that are kept for an update.
/// </remarks>
public sealed record FuseRotations() : IGraphPass
{
    public string Name => "fuse-rotations";

    public ValueEffect Effect => new ValueEffect.Exact();

    public PassResult Run(Model model, PassContext context) =>
        new(model.Graph.Nodes.Where(n => n.Is(nameof(Quantize), HaloDomain.Name)).ToList().Count(n => Fuse(model.Graph, context, n)));

    private static bool Fuse(Graph graph, PassContext context, Node quantize)
    {
        if (quantize.Inputs[0]!.Producer is not { } rotation || !rotation.Is(nameof(HadamardTransform), HaloDomain.Name))
            return false;
        var format = quantize.Attributes["format"].String;
        if (Refusal(rotation, quantize, format) is { } reason)
        {
            context.Skip(quantize, reason);
            return false;
        }
        context.Step(quantize, $"rotate with {rotation}");
        var (name, outputs) = (quantize.Name, quantize.Outputs.Select(o => o.Name).ToList());
        var made = GraphBuilder.Before(quantize, "").HadamardQuantize(rotation.Inputs[0]!, (int)rotation.Int("axis", 1), rotation.Ints("blocks")!,
            rotation.Int("inverse", 0) != 0, NumberFormat.Parse(format)!, quantize.Outputs.Count == 3, outputs[0] + Replacement.Suffix);
        Replacement.OfNode(graph, quantize, old => made.Outputs[old.ProducerIndex]);
        foreach (var (output, own) in made.Outputs.Zip(outputs).Where(pair => pair.First.Name != pair.Second && !pair.First.IsGraphOutput))
            graph.Rename(output, own);
        made.Name = name;
        graph.Remove(rotation);
        return true;
    }

    private static string? Refusal(Node rotation, Node quantize, string format) =>
        !HaloOperators.GivesAbsoluteMax(rotation) || quantize.Input(1) != rotation.Outputs[1] ? $"its scale is not by the largest magnitude that {rotation} gives"
        : rotation.Outputs.FirstOrDefault(o => o.IsGraphOutput || o.Uses.Count > 1) is { } other ? $"'{other.Name}' is an output, or read by others as well"
        : !HadamardQuantize.IsOneKernel(rotation, format, quantize.Outputs.Count == 3)
            ? $"no kernel rotates {rotation.Outputs[0].Shape} of {rotation.Outputs[0].Type.Name()} along axis {rotation.Int("axis", 1)} in blocks of "
                + $"{string.Join(" and ", rotation.Ints("blocks")!.Distinct())} and gives codes in {format}{(quantize.Outputs.Count == 3 ? " and both orders" : "")}"
        : null;
}
