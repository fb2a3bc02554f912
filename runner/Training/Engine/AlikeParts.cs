using System.Security.Cryptography;
using Halo.Analysis;
using Halo.Ir;
using Halo.Passes.Training;
using Halo.Serialization;

namespace Halo.Runner.Training.Engine;

/// <summary>Parts of a graph over frozen weights that compute the same of weights of the same sizes, such as those of one kind of layer: one session serves them all.</summary>
/// <param name="Inputs">The weights, under numbers for names.</param>
/// <param name="Outputs">What is held of them, likewise.</param>
/// <param name="Bytes">The graph from these to those.</param>
internal sealed record AlikeParts(IReadOnlyList<Value> Inputs, IReadOnlyList<Value> Outputs, byte[] Bytes)
{
    /// <summary>What the whole graph calls the inputs and outputs of each part.</summary>
    public List<(string[] Inputs, string[] Outputs)> Names { get; } = [];

    /// <summary>Splits a graph into what each weight, or set of weights that are used together, gives.</summary>
    /// <param name="model">From frozen parameters to what is held (<see cref="FrozenBase"/>); stays as it is.</param>
    public static IReadOnlyList<AlikeParts> In(Model model)
    {
        var found = new OrderedDictionary<string, AlikeParts>(StringComparer.Ordinal); // by what the numbered graph's bytes come to
        foreach (var group in model.Graph.Outputs.GroupBy(o => string.Join('\n', Roots(o)), StringComparer.Ordinal))
        {
            var part = FrozenBase.Part(model, group.Select(o => o.Name).ToHashSet(StringComparer.Ordinal));
            (string[] Inputs, string[] Outputs) names = ([.. part.Graph.Inputs.Select(i => i.Name)], [.. part.Graph.Outputs.Select(o => o.Name)]);
            Number(part.Graph);
            var bytes = OnnxWriter.ToBytes(part);
            var key = Convert.ToHexString(SHA256.HashData(bytes));
            if (!found.TryGetValue(key, out var alike))
                found.Add(key, alike = new AlikeParts([.. part.Graph.Inputs], [.. part.Graph.Outputs], bytes));
            alike.Names.Add(names);
        }
        return [.. found.Values];
    }

    /// <summary>Names values by their order, and drops names and notes of nodes: what tells one layer's part from another's and computes nothing.</summary>
    private static void Number(Graph graph)
    {
        Value[] values = [.. graph.Inputs, .. graph.Initializers.Where(i => !i.IsGraphInput), .. graph.Nodes.SelectMany(n => n.Outputs).Where(o => o.Name.Length > 0)];
        foreach (var value in values)
            graph.Rename(value, graph.FreeName($"{value.Name}/part")); // no number is a name then
        foreach (var (number, value) in values.Index())
        {
            graph.Rename(value, $"{number}");
            value.Metadata.Clear();
        }
        foreach (var node in graph.Nodes)
        {
            node.Name = node.DocString = "";
            node.Metadata.Clear();
        }
    }

    /// <summary>The parameters that a value follows from.</summary>
    private static IEnumerable<string> Roots(Value value) => Ancestors.Of(value).SelectMany(n => n.Inputs.OfType<Value>())
        .Where(v => v is { IsGraphInput: true, Initializer: null }).Select(v => v.Name).Distinct().Order(StringComparer.Ordinal);
}
