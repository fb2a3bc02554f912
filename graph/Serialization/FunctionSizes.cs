using Halo.Analysis;
using Halo.Ir;

namespace Halo.Serialization;

/// <summary>Functions that call functions stay within bounds: each that doubles another makes of a file of 2 KB more nodes than any memory holds.</summary>
internal sealed class FunctionSizes(Model model, Func<string, string, HaloException> error)
{
    /// <summary>Of the graph with every call replaced by the function's nodes: what a runtime may do, and what analyses walk through.</summary>
    private const long MaxNodes = 1 << 21;

    private const int MaxDepth = 100;

    private readonly Dictionary<Function, long> _known = [];
    private readonly HashSet<Function> _open = [];

    /// <param name="model">Is not changed.</param>
    /// <param name="error">Makes the exception of what was expected and found.</param>
    public static void Check(Model model, Func<string, string, HaloException> error)
    {
        var sizes = new FunctionSizes(model, error);
        foreach (var graph in model.Functions.Select(f => f.Body).Prepend(model.Graph))
            sizes.Expanded(graph);
    }

    private long Expanded(Graph graph)
    {
        var count = 0L;
        foreach (var node in Verifier.AllNodes(graph))
        {
            count += 1 + (model.FindFunction(node) is { } function ? Of(function) : 0);
            if (count > MaxNodes)
                throw error($"at most {MaxNodes} nodes with functions written out", $"more, at {node}");
        }
        return count;
    }

    private long Of(Function function)
    {
        if (_known.TryGetValue(function, out var known))
            return known;
        if (!_open.Add(function))
            throw error("functions that do not call themselves", $"{function.Domain}.{function.Name}, which does");
        if (_open.Count > MaxDepth)
            throw error($"functions that call each other {MaxDepth} deep at most", $"a deeper call of {function.Domain}.{function.Name}");
        _known[function] = known = Expanded(function.Body);
        _open.Remove(function);
        return known;
    }
}
