using Halo.CustomOps;
using Halo.Ir;

namespace Halo.Passes.Canonical;

/// <summary>gate sigmoid(gate) up, in any order of the factors, the sigmoid by itself in float32 or not; ONNX's Swish with alpha 1.</summary>
internal sealed class SwiGluPattern() : CanonicalPattern(nameof(SwiGlu))
{
    public override bool IsCandidate(Node node) => node.Is("Sigmoid") || node.Is("Swish");

    public override string? Rewrite(CanonicalGraph graph, Node candidate)
    {
        var gate = candidate.Inputs[0]!;
        if (candidate.Is("Swish"))
            return candidate.Float("alpha", 1) == 1 ? Gated(graph, gate, candidate.Output) : "alpha is not 1";
        var sigmoid = candidate.Output;
        if (Match.OnlyUser(sigmoid, "Mul") is not { } product)
            return "the sigmoid is not read by one product alone";
        var factor = Match.OtherOperand(product, sigmoid)!;
        if (Match.BeforeCasts(factor) == Match.BeforeCasts(gate))
            return Gated(graph, Match.BeforeCasts(gate), product.Output);
        if (factor.Producer is { } inner && inner.Is("Mul") && factor.OnlyUser is not null && Match.OtherOperand(inner, gate) is { } up)
            return Finish(graph, product, gate, up); // (gate up) sigmoid(gate)
        return Match.OnlyUser(product.Output, "Mul") is { } outer && Match.OtherOperand(outer, product.Output) == gate
            ? Finish(graph, outer, gate, factor) // (up sigmoid(gate)) gate
            : "the sigmoid is not multiplied with what it is of";
    }

    private string? Gated(CanonicalGraph graph, Value gate, Value silu)
    {
        var value = silu.Type == gate.Type ? silu : Match.AfterCast(silu);
        return Match.OnlyUser(value, "Mul") is { } product && Match.OtherOperand(product, value) is { } up
            ? Finish(graph, product, gate, up)
            : "the gated value is not read by one product alone";
    }

    private string? Finish(CanonicalGraph graph, Node root, Value gate, Value up)
    {
        if (gate.Type != up.Type || root.Output.Type != gate.Type)
            return $"gate is {gate.Type.Name()}, up {up.Type.Name()} and the product {root.Output.Type.Name()}";
        if (gate.Shape is not { } shape || !shape.Equals(up.Shape))
            return $"gate {gate.Shape} and up {up.Shape} have different shapes";
        graph.Replace(Kind, root, build => build.SwiGlu(gate, up, "swi_glu"));
        return null;
    }
}
