using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Passes.Fusion;

/// <summary>Attention reads and writes heads where linear layers have them: the copies in between are left out.</summary>
/// <remarks>
/// A layer's rows are (B, T, H, D); Transposes bring them to (B, H, T, D) for Attention and back: eight copies a layer, q, k, v and y and their gradients.
/// Where all heads around an attention, those of its gradient and of rotary embeddings among them, come from such Transposes and go to such, all that reads
/// and writes them takes the layout "bshd", and the Transposes go. Parts of channels, cut and joined, do not see the difference. Anything else that reads
/// heads leaves them as they are. Strides change no arithmetic: every output keeps its bits. For graphs that run on a GPU: products on a CPU want each head's
/// rows together, so that its kernels make the copies themselves. Behind every analysis and pattern, which know (B, H, T, D).
/// </remarks>
public sealed record KeepHeadsInPlace() : IGraphPass
{
    private static readonly long[] HeadsAndTokensSwapped = [0, 2, 1, 3];

    public string Name => "keep-heads-in-place";

    public ValueEffect Effect => new ValueEffect.Exact();

    public PassResult Run(Model model, PassContext context)
    {
        var (rewrites, seen) = (0, new HashSet<Node>());
        foreach (var attention in model.Graph.Nodes.Where(n => n.Is(nameof(Attention), HaloDomain.Name)).ToList())
        {
            if (seen.Contains(attention) || HeadLayouts.Of(attention) == HeadLayout.Bshd)
                continue;
            var heads = HeadNodes.Around(attention);
            seen.UnionWith(heads.Nodes);
            if (heads.Obstacle is { } obstacle)
            {
                context.Skip(attention, obstacle);
                continue;
            }
            context.Step(attention, $"leave out {heads.Gathers.Count + heads.Returns.Count} copies of heads");
            Move(model.Graph, heads);
            rewrites++;
        }
        return new PassResult(rewrites);
    }

    private static void Move(Graph graph, HeadNodes heads)
    {
        foreach (var gather in heads.Gathers)
            gather.Output.ReplaceUsesWith(gather.Inputs[0]!);
        foreach (var gather in heads.Gathers)
            graph.Remove(gather);
        foreach (var node in graph.Nodes.Where(heads.Nodes.Contains).ToList())
        {
            foreach (var output in HeadNodes.OutputsOf(node))
                output.Shape = HeadLayouts.ByHead(output.Shape, HeadLayout.Bshd);
            if (node.Domain == HaloDomain.Name)
                HeadLayouts.Set(node, HeadLayout.Bshd);
        }
        foreach (var back in heads.Returns)
            Replacement.OfNode(graph, back, _ => back.Inputs[0]!);
    }

    /// <summary>The nodes that pass heads (B, H, T, D) on to each other, and the Transposes at their borders.</summary>
    private sealed class HeadNodes
    {
        private readonly Queue<Node> _left = new();

        public HashSet<Node> Nodes { get; } = [];

        /// <summary>Transposes from (B, T, H, D).</summary>
        public HashSet<Node> Gathers { get; } = [];

        /// <summary>Transposes to it.</summary>
        public HashSet<Node> Returns { get; } = [];

        /// <summary>Why the heads cannot lie otherwise; null where they can.</summary>
        public string? Obstacle { get; private set; }

        public static HeadNodes Around(Node attention)
        {
            var heads = new HeadNodes();
            heads.Add(attention);
            while (heads._left.TryDequeue(out var node))
            {
                foreach (var input in InputsOf(node))
                    heads.Follow(node.Inputs[input]!);
                foreach (var output in OutputsOf(node))
                    heads.Follow(output);
            }
            if (heads.Gathers.Overlaps(heads.Returns))
                heads.Obstacle ??= "a Transpose brings heads from one attention to another";
            return heads;
        }

        /// <summary>Inputs that are heads; none for a node that heads do not pass through.</summary>
        public static IReadOnlyList<int> InputsOf(Node node) => (node.Domain, node.OpType) switch
        {
            (HaloDomain.Name, nameof(Attention)) => [0, 1, 2],
            (HaloDomain.Name, nameof(AttentionGrad)) => [0, 1, 2, 3, 4],
            (HaloDomain.Name, nameof(RotaryEmbedding)) => [0],
            ("", "Split") when OfChannels(node) => [0],
            ("", "Slice") when node.Inputs[0]!.Shape is { Rank: 4 } && node.Input(3)?.Constant?.ToInt64s() is [3 or -1] => [0],
            ("", "Concat") when OfChannels(node) => [.. Enumerable.Range(0, node.Inputs.Count)],
            _ => [],
        };

        /// <summary>Outputs that are heads, of a node that has inputs which are.</summary>
        public static IReadOnlyList<Value> OutputsOf(Node node) =>
            node.Domain != HaloDomain.Name || node.OpType == nameof(AttentionGrad) ? node.Outputs : [node.Outputs[0]];

        private static bool OfChannels(Node node) => node.Int("axis", 0) is 3 or -1 && node.Outputs[0].Shape is { Rank: 4 };

        private static bool SwapsHeadsAndTokens(Node node) =>
            node.Is("Transpose") && node.Ints("perm") is { } perm && perm.SequenceEqual(HeadsAndTokensSwapped);

        private void Add(Node node)
        {
            if (Nodes.Add(node))
                _left.Enqueue(node);
        }

        /// <summary>What makes these heads, and all that reads them.</summary>
        private void Follow(Value heads)
        {
            if (heads.Producer is not { } maker || heads.IsGraphOutput)
                Obstacle ??= $"'{heads.Name}' is an input or an output";
            else if (SwapsHeadsAndTokens(maker))
                Gathers.Add(maker);
            else if (InputsOf(maker).Count > 0 && OutputsOf(maker).Contains(heads))
                Add(maker);
            else
                Obstacle ??= $"{maker} makes heads";
            foreach (var use in heads.Uses)
            {
                if (SwapsHeadsAndTokens(use.Node))
                    Returns.Add(use.Node);
                else if (InputsOf(use.Node).Contains(use.Index))
                    Add(use.Node);
                else
                    Obstacle ??= $"{use.Node} reads heads";
            }
        }
    }
}
