using Halo.Ir;
using Halo.Passes.Export.Weights;
using Halo.Passes.Infra;

namespace Halo.Passes.Export;

/// <summary>Moves the gain of each RMS norm into the weights of the linear layers that read it.</summary>
/// <remarks>
/// (n * g) W^T = n (W diag(g))^T: column k of each weight is scaled by g_k, and the norm is left with a gain of ones. A weight that others read too, such as
/// the embedding that a tied head reads, is copied. [QuaRot, section 4]
/// </remarks>
public sealed record FoldNorms() : IGraphPass
{
    /// <summary>One rounding moves from activations to weights.</summary>
    private const double Bound = 1e-5;

    public string Name => "fold-norms";

    public ValueEffect Effect => new ValueEffect.Reassociating(Bound);

    public PassResult Run(Model model, PassContext context)
    {
        var rewrites = 0;
        foreach (var norm in model.Graph.Nodes.Where(NormNodes.Is).ToList())
        {
            var gain = NormNodes.Gain(norm) ?? throw new PassException(Name, norm, "", "a gain that the graph holds",
                $"the input '{norm.Inputs[1]!.Name}'", "Run hold-parameters first.");
            if (!gain.AsSpan().ContainsAnyExcept(1f))
                continue;
            if (Readers(norm, out var reason) is not { } readers)
            {
                context.Skip(norm, reason);
                continue;
            }
            context.Step(norm, $"fold its gain into {readers.Count} weights");
            foreach (var reader in readers)
                Scale(reader, gain);
            WeightEdit.Set(new Use(norm, 1), norm.Name + ".weight", (_, old) => Ones(old));
            rewrites++;
        }
        return new PassResult(rewrites);
    }

    /// <summary>The linear layers that read a norm; null, with the reason, if something else does.</summary>
    private static List<Node>? Readers(Node norm, out string reason)
    {
        reason = "";
        var readers = HeldLinear.Readers(norm.Output);
        if (readers is null || !NormNodes.GivesOnlyY(norm))
            reason = "its output is one of the graph, or more than the normalized rows is read";
        else if (readers.Count == 0)
            reason = "nothing reads it";
        else if (readers.FirstOrDefault(r => r.Index != 0 || !HeldLinear.Is(r.Node)) is { Node: { } other })
            reason = $"{other} reads it, which is no linear layer with a weight that the graph holds";
        return reason.Length > 0 ? null : [.. readers!.Select(r => r.Node)];
    }

    private void Scale(Node linear, float[] gain) => WeightEdit.Set(new Use(linear, 1), linear.Name + ".weight", (name, weight) =>
        UnitBytes.Make(Name, name, weight, gain.Length, row => HadamardRotation.Multiply(row.Span, gain)));

    private static Tensor Ones(Tensor like)
    {
        var ones = new float[like.ElementCount];
        Array.Fill(ones, 1f);
        var bytes = new byte[like.SizeBytes];
        FloatConversions.FromFloat(like.Type, ones, bytes);
        return Tensor.Of<byte>(like.Type, [.. like.Sizes], bytes);
    }
}
