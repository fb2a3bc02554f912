using System.Text.Json.Nodes;
using Halo.Building;
using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Passes.Canonical;

/// <summary>The graph that patterns rewrite, and the record of what they found in it.</summary>
internal sealed class CanonicalGraph(Model model, PassContext context, string pass)
{
    /// <summary>The section of the report: kind, node, found, and where it was not found the reason.</summary>
    public const string Section = "canonical";

    public Model Model => model;

    public Graph Graph => model.Graph;

    /// <summary>Computes what depends on constants, and on inputs that are made up.</summary>
    public SubgraphEvaluator SubgraphEvaluator { get; } = new(model, context.Evaluator, pass);

    /// <summary>What mask values mean; the layers of a graph share one.</summary>
    public Dictionary<string, (MaskMeaning? MaskMeaning, string Reason)> MaskMeanings { get; } = new(StringComparer.Ordinal);

    /// <summary>The cosine and sine tables made of two values; the layers of a graph share them.</summary>
    public Dictionary<(Value Cos, Value Sin), RotaryTablePattern> Tables { get; } = [];

    /// <summary>Puts what <paramref name="make"/> makes in the place of <paramref name="root"/>, and drops what nobody reads then.</summary>
    public void Replace(string kind, Node root, Func<GraphBuilder, Value> make)
    {
        context.Step(root, $"make a {kind}");
        context.Report(Section, new JsonObject { ["kind"] = kind, ["node"] = root.Name, ["found"] = true });
        var read = root.Inputs.OfType<Value>().ToList();
        var build = GraphBuilder.Before(root);
        Replacement.OfNode(Graph, root, old =>
        {
            var made = make(build);
            foreach (var (key, value) in root.Metadata)
                made.Producer!.Metadata.TryAdd(key, value);
            return made;
        });
        DeadNodes.Sweep(Graph, read);
    }

    public void Leave(string kind, Node node, string reason)
    {
        context.Skip(node, $"no {kind}: {reason}");
        context.Report(Section, new JsonObject { ["kind"] = kind, ["node"] = node.Name, ["found"] = false, ["reason"] = reason });
    }
}
