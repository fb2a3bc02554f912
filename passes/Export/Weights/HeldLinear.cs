using Halo.Analysis;
using Halo.Ir;
using Halo.Operators;

namespace Halo.Passes.Export.Weights;

/// <summary>Linear layers of a graph that holds its weights: Gemm with transB = 1, Y (R, N) = X (R, K) W^T + bias.</summary>
internal static class HeldLinear
{
    /// <summary>The node is one, with its weight (and bias) an initializer that it reads directly.</summary>
    public static bool Is(Node node) => node.Is("Gemm") && node.Int("transA", 0) == 0 && node.Int("transB", 0) == 1 && node.Float("alpha", 1) == 1
        && (node.Input(2) is null || (node.Float("beta", 1) == 1 && node.Input(2)!.Initializer is not null)) && node.Inputs[1]!.Initializer is not null;

    /// <summary>The columns of <paramref name="output"/> are those of the node's input: its rows are laid out anew, or cast.</summary>
    public static bool KeepsColumns(Node node, Value output) => node.Facts.Role is OperatorRole.View { KeepsOrder: true }
        && node.Inputs[0]!.Shape is { Rank: > 0 } from && output.Shape is { Rank: > 0 } to && from[-1].Size is { } columns && to[-1].Size == columns;

    /// <summary>What a value is before its rows were laid out anew.</summary>
    public static Value Source(Value value)
    {
        while (value.Producer is { } node && KeepsColumns(node, value))
            value = node.Inputs[0]!;
        return value;
    }

    /// <summary>The input slots that read the columns of a value, behind what lays its rows out anew; null where it is a graph output.</summary>
    public static IReadOnlyList<Use>? Readers(Value value)
    {
        var found = new List<Use>();
        var pending = new Stack<Value>([value]);
        while (pending.TryPop(out var at))
        {
            if (at.IsGraphOutput)
                return null;
            foreach (var use in at.Uses)
            {
                if (use.Index == 0 && KeepsColumns(use.Node, use.Node.Output))
                    pending.Push(use.Node.Output);
                else if (!(use.Node.Is("Shape") && use.Index == 0))
                    found.Add(use);
            }
        }
        return found;
    }

    /// <summary>The layer whose output reaches the graph's with no parameter between.</summary>
    public static Node? Head(Graph graph) => LinearGemms.In(graph).Layers.FirstOrDefault(l => l.IsHead)?.Gemms[0].Node;
}
