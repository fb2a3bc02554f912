using System.Security.Cryptography;
using System.Text;
using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Passes.Cleanup;

/// <summary>Merges initializers of the same content and pure nodes that compute the same from the same inputs.</summary>
/// <remarks>
/// Weights are compared by SHA-256, read in full only where type, sizes and first bytes agree. A graph whose initializers are
/// parameters to be trained must not come here: two norm weights that are all ones would be one parameter from then on.
/// </remarks>
public sealed record Deduplicate() : IGraphPass
{
    private const int PrefixBytes = 4096;

    public string Name => "deduplicate";

    public ValueEffect Effect => new ValueEffect.Exact();

    public PassResult Run(Model model, PassContext context)
    {
        var rewrites = 0;
        foreach (var graph in Graphs.Of(model))
            rewrites += Initializers(graph) + Nodes(model, graph, context);
        return new PassResult(rewrites);
    }

    private static int Initializers(Graph graph)
    {
        var rewrites = 0;
        foreach (var alike in graph.Initializers.Where(v => !v.IsGraphInput).GroupBy(v => Start(v.Initializer!)).Where(g => g.Count() > 1).ToList())
        {
            foreach (var equal in alike.GroupBy(v => Hash(v.Initializer!)).Select(g => g.ToList()))
            {
                foreach (var extra in equal.Skip(1).Where(v => !v.IsGraphOutput))
                {
                    extra.ReplaceUsesWith(equal[0]);
                    graph.RemoveInitializer(extra);
                    rewrites++;
                }
            }
        }
        return rewrites;
    }

    private static int Nodes(Model model, Graph graph, PassContext context)
    {
        var rewrites = 0;
        var ids = new Dictionary<Value, int>();
        var first = new Dictionary<string, Node>(StringComparer.Ordinal);
        foreach (var node in graph.Nodes.ToList())
        {
            if (!Purity.IsPure(model, node))
                continue;
            var key = Key(node, ids);
            if (first.TryAdd(key, node))
                continue;
            var kept = first[key];
            if (node.Outputs.Zip(kept.Outputs).Any(p => p.First.IsGraphOutput && (p.Second.IsGraphOutput || !graph.Outputs.Contains(p.First))))
            {
                context.Skip(node, $"it equals {kept}, but a graph output needs a node of its own");
                continue;
            }
            context.Step(node, $"merge into {kept}");
            foreach (var (extra, value) in node.Outputs.Zip(kept.Outputs))
            {
                extra.ReplaceUsesWith(value);
                if (extra.IsGraphOutput)
                    graph.ReplaceOutput(extra, value);
            }
            graph.Remove(node);
            rewrites++;
        }
        return rewrites;
    }

    private static string Key(Node node, Dictionary<Value, int> ids)
    {
        var key = new StringBuilder($"{node.Domain}.{node.OpType}.{node.Overload}({node.Outputs.Count})");
        foreach (var input in node.Inputs)
            key.Append(' ').Append(input is null ? -1 : ids.TryGetValue(input, out var id) ? id : ids[input] = ids.Count);
        foreach (var attribute in node.Attributes.Values)
        {
            key.Append('\n').Append(attribute.Name).Append(':').Append(attribute.Kind).Append('=')
                .Append(attribute.ReferenceTo is { } reference ? "@" + reference : Text(attribute.Content!));
        }
        return key.ToString();
    }

    private static string Text(object content) => content switch
    {
        Tensor tensor => $"{tensor} {Hash(tensor)}",
        float value => BitConverter.SingleToInt32Bits(value).ToString(),
        string text => $"{text.Length}:{text}",
        System.Collections.IEnumerable list => string.Join(",", list.Cast<object>().Select(Text)),
        _ => content.ToString()!,
    };

    /// <summary>Type, sizes and first bytes: what nearly all different tensors differ in already.</summary>
    private static string Start(Tensor tensor)
    {
        var start = "";
        if (tensor.Type != ElementType.String)
        {
            tensor.ReadChunks(chunk =>
            {
                start = Convert.ToHexString(SHA256.HashData(chunk[..Math.Min(PrefixBytes, chunk.Length)]));
                return false;
            });
        }
        return $"{tensor} {start}";
    }

    private static string Hash(Tensor tensor)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        if (tensor.Strings is { } strings)
        {
            foreach (var text in strings)
            {
                hash.AppendData(BitConverter.GetBytes(text.LongLength));
                hash.AppendData(text);
            }
            return Convert.ToHexString(hash.GetHashAndReset());
        }
        tensor.ReadChunks(chunk =>
        {
            hash.AppendData(chunk);
            return true;
        });
        return Convert.ToHexString(hash.GetHashAndReset());
    }
}
