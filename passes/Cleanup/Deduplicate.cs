using System.Security.Cryptography;
using Halo.Analysis;
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
            foreach (var equal in alike.GroupBy(v => NodeKeys.Hash(v.Initializer!)).Select(g => g.ToList()))
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
        var keys = new NodeKeys();
        var first = new Dictionary<string, Node>(StringComparer.Ordinal);
        foreach (var node in graph.Nodes.ToList())
        {
            if (!Purity.IsPure(model, node))
                continue;
            var key = keys.Of(node);
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
}
