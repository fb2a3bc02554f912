using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Passes.Export.Weights;

/// <summary>The sum that runs through a transformer: who writes into it, and who reads it behind a norm. Found from the head backwards.</summary>
/// <param name="Width">C, its channels.</param>
/// <param name="Embeddings">Gather of table (V, C) by token.</param>
/// <param name="Writers">Linear layers whose output is added.</param>
/// <param name="Readers">Linear layers that read it through a norm; the head is one.</param>
/// <param name="Norms">These norms.</param>
internal sealed record ResidualStream(
    long Width, IReadOnlyList<Node> Embeddings, IReadOnlyList<Node> Writers, IReadOnlyList<Node> Readers, IReadOnlyList<Node> Norms)
{
    /// <exception cref="PassException">The stream is read or written by something that no rotation passes.</exception>
    public static ResidualStream Of(Node head, string pass)
    {
        var norm = HeldLinear.Source(head.Inputs[0]!).Producer;
        if (norm is null || !NormNodes.Is(norm))
            throw new PassException(pass, head, "head", "a norm before it", norm?.ToString() ?? "an input", "Run canonicalize first.");
        var (embeddings, writers, readers, norms) = (new List<Node>(), new List<Node>(), new List<Node>(), new List<Node>());
        var pending = new Stack<Value>();
        var seen = new HashSet<Value>();
        Meet(norm.Inputs[0]!);
        while (pending.TryPop(out var value))
        {
            if (value.IsGraphOutput)
                throw new PassException(pass, $"'{value.Name}'", "a stream that only norms and sums read", "a graph output",
                    "Export the model without hidden states.");
            Write(value);
            foreach (var use in value.Uses)
                Read(value, use);
        }
        return new ResidualStream(norm.Inputs[1]!.Shape![0].Size!.Value, embeddings, writers, readers, norms);

        void Meet(Value value)
        {
            if (seen.Add(value))
                pending.Push(value);
        }

        void Write(Value value)
        {
            var node = value.Producer;
            if (node is not null && node.Is("Add") && node.Inputs.All(i => i!.Shape is { Rank: > 1 } && i.Initializer is null))
            {
                Meet(node.Inputs[0]!);
                Meet(node.Inputs[1]!);
            }
            else if (node is not null && HeldLinear.KeepsColumns(node, value))
                Meet(node.Inputs[0]!);
            else if (node is not null && node.Is("Gather") && node.Int("axis", 0) == 0 && node.Inputs[0]!.Initializer is { Sizes.Count: 2 })
                embeddings.Add(node);
            else if (node is not null && HeldLinear.Is(node))
                writers.Add(node);
            else if (node is not null && NormNodes.Is(node))
            {
                throw Refused(node, "what linear layers give to be added as it is",
                    "Leave the rotation out: no matrix passes the gain of a norm of what is added.");
            }
            else
            {
                throw new PassException(pass, node?.ToString() ?? $"'{value.Name}'", "a sum, an embedding or a linear layer whose weights the graph holds",
                    node is null ? "an input" : "another writer of the residual stream", "Run canonicalize and hold-parameters first.");
            }
        }

        void Read(Value value, Use use)
        {
            var node = use.Node;
            if (NormNodes.Is(node) && use.Index == 0)
                Norm(node);
            else if (node.Is("Add") || HeldLinear.KeepsColumns(node, node.Output))
                Meet(node.Output);
            else if (!node.Is("Shape"))
                throw Refused(node, "a norm or a sum that reads the residual stream");
        }

        void Norm(Node norm)
        {
            norms.Add(norm);
            if (!NormNodes.GivesOnlyY(norm) || HeldLinear.Readers(norm.Output) is not { } uses)
                throw Refused(norm, "a norm whose rows linear layers alone read");
            if (NormNodes.Gain(norm) is not { } gain || gain.AsSpan().ContainsAnyExcept(1f))
                throw Refused(norm, "a gain of ones", "Run fold-norms first.");
            foreach (var (reader, index) in uses)
            {
                if (index != 0 || !HeldLinear.Is(reader))
                    throw Refused(reader, "a linear layer, whose weight the graph holds, behind a norm");
                readers.Add(reader);
            }
        }

        PassException Refused(Node node, string expected, string advice = "Leave rotate-weights out, or export the model in canonical form.") =>
            new(pass, node, "", expected, $"{node.OpType}", advice);
    }
}
