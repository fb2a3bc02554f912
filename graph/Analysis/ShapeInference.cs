using Halo.Ir;
using Halo.Operators;

namespace Halo.Analysis;

/// <summary>Fills in element types and shapes of values from what the operators' definitions say.</summary>
/// <remarks>
/// An operator's rule is one of its <see cref="OperatorFacts"/>, a function of the node's inputs. Symbols are carried through: equal symbols stay
/// equal under broadcasting, products are written <c>2*batch*sequence</c>. Integer tensors that describe shapes are folded on the way
/// (<see cref="IntegerData"/>). Subgraphs and function bodies are left alone.
/// </remarks>
public static class ShapeInference
{
    /// <summary>Infers the outputs of one node; an operator without a rule leaves them as they are.</summary>
    /// <remarks>What is inferred replaces what was known, since a pass may have given the node other inputs.</remarks>
    public static void Infer(Node node) => Infer(node, new IntegerData(), keepsDeclared: false);

    /// <summary>Infers every node of the graph, in order. What is known already stays where the inference knows less.</summary>
    /// <exception cref="HaloException">A declared type or size contradicts the inferred one, or the inputs of a node contradict each other.</exception>
    public static void Run(Graph graph)
    {
        var data = new IntegerData();
        foreach (var node in graph.Nodes)
            Infer(node, data, keepsDeclared: true);
    }

    /// <summary>The elements of a scalar or list of integers that shapes and constants alone decide; null if one of them is not a number.</summary>
    public static long[]? KnownIntegers(Value value) =>
        new IntegerData().Of(value) is { } known && Array.TrueForAll(known.Elements, e => e.IsKnown)
            ? Array.ConvertAll(known.Elements, e => e.Size!.Value)
            : null;

    private static string Operands(Node node) => string.Join(", ", node.Inputs.Select(v => v is null ? "none" : $"{v.Type.Name()}{v.Shape}"));

    private static void Infer(Node node, IntegerData data, bool keepsDeclared)
    {
        // In a function body an attribute may stand for the caller's: what follows from it is known at each call only.
        if (node.Facts.Shapes is not { } rule || node.Attributes.Values.Any(a => a.ReferenceTo is not null))
            return;
        var inference = new NodeInference(node, data, keepsDeclared);
        try
        {
            rule(inference);
        }
        catch (Exception e) when (e is not HaloException)
        {
            // Ranks, axes and sizes that the operator does not allow, met by a rule that took them for granted.
            throw inference.Error("operands as the operator's definition has them", $"{Operands(node)}: {e.Message.TrimEnd('.')}", e);
        }
    }
}
