using Halo.CustomOps;
using Halo.Ir;

namespace Halo.Passes.Canonical;

/// <summary>x cos + rotate_half(x) sin for heads x (B, H, T, D), with angles that are known but for the positions; ONNX's RotaryEmbedding.</summary>
/// <remarks>
/// rotate_half puts the negated second half in front of the first. The tables are computed, in whatever way the graph makes them, and must repeat
/// their first half. Of 16-bit heads with float32 tables the result is rounded, as the operands of the product that follows are. Where positions
/// are an input, the tables have a row for each of the T positions of a sequence, so that a position from T on is an error when the graph runs.
/// Where the first channels of a head alone are turned, a Split cuts them off and a Concat puts the others behind them again, whatever the exporter wrote.
/// </remarks>
internal sealed class RotaryEmbeddingPattern() : CanonicalPattern(nameof(RotaryEmbedding))
{
    public override bool IsCandidate(Node node) => node.Is("RotaryEmbedding")
        || (node.Is("Concat") && node.Inputs.Count == 2 && node.Inputs[0]!.Producer is { } first && first.Is("Neg"));

    public override string? Rewrite(CanonicalGraph graph, Node candidate) => candidate.Is("Concat") ? Decomposed(graph, candidate) : Fused(graph, candidate);

    private string? Decomposed(CanonicalGraph graph, Node concat)
    {
        var first = new IndexMap(concat.Inputs[0]!.Producer!.Inputs[0]!);
        var second = new IndexMap(concat.Inputs[1]!);
        if (!first.Step() || !second.Step() || first.Source != second.Source)
            return "the two parts are not cut from one value";
        var x = first.Source;
        if (x.Shape is not { Rank: 4, IsStatic: true } shape)
            return $"what is rotated is not (B, H, T, D) of known sizes but {x.Shape}";
        var (d, half) = (shape.Sizes[3], shape.Sizes[3] / 2);
        if (d % 2 != 0 || !first.Is(i => (i / half * d) + half + (i % half)) || !second.Is(i => (i / half * d) + (i % half)))
            return "the two parts are not the halves of the last axis, the second half in front";
        var turned = Match.AfterCast(concat.Output);
        if (Match.OnlyUser(concat.Inputs[0]!, "Concat") is null || Match.OnlyUser(turned, "Mul") is not { } bySine || Match.OtherOperand(bySine, turned) is not { } sin)
            return "the rotated half is not read by one product alone";
        if (Match.OnlyUser(bySine.Output, "Add") is not { } sum || Match.OtherOperand(sum, bySine.Output) is not { Producer: { } byCosine } straight
            || straight.OnlyUser is null
            || !byCosine.Is("Mul") || Cosine(byCosine) is not { } cos)
            return "the product with the sine is not added to a product of the same value with the cosine";
        if (!SpansTokens(cos) || !SpansTokens(sin))
            return $"cosine {cos.Shape} and sine {sin.Shape} are not one row for each token of {shape}";

        var (source, root) = (Match.BeforeCasts(x), sum);
        if (source.Type != sum.Output.Type && Match.OnlyUser(sum.Output, "Cast") is { } back && back.Output.Type == source.Type)
            root = back;
        else if (x.Type == sum.Output.Type)
            source = x;
        var reason = Put(graph, root, source, d, cos, sin, halves: false);
        if (reason is null)
            PartialRotation.JoinCuts(graph.Graph, source);
        return reason;

        Value? Cosine(Node product) => Match.BeforeCasts(product.Inputs[0]!) == Match.BeforeCasts(x) ? product.Inputs[1]
            : Match.BeforeCasts(product.Inputs[1]!) == Match.BeforeCasts(x) ? product.Inputs[0] : null;

        // As broadcasting aligns it with (B, H, T, D).
        bool SpansTokens(Value table) => table.Shape is { IsStatic: true, Rank: >= 2 and <= 4 } s && s[-1].Size == d && s[-2].Size == shape.Sizes[2]
            && (s.Rank < 3 || s[-3].Size == 1);
    }

    private string? Fused(CanonicalGraph graph, Node node)
    {
        var (x, cos, sin) = (node.Inputs[0]!, node.Inputs[1]!, node.Inputs[2]!);
        if (x.Shape is not { Rank: 4, IsStatic: true })
            return $"what is rotated is not (B, H, T, D) of known sizes but {x.Shape}";
        if (node.Int("interleaved", 0) != 0)
            return "it rotates neighbours, not halves";
        var channels = node.Int("rotary_embedding_dim", 0) is not 0 and var dim ? dim : x.Shape.Sizes[3];
        if (channels % 2 != 0 || channels > x.Shape.Sizes[3])
            return $"it rotates {channels} of {x.Shape.Sizes[3]} channels";
        if (node.Input(3) is not { } positions)
            return Put(graph, node, x, channels, cos, sin, halves: true);
        if (cos is not { Initializer: not null, IsGraphInput: false, Type: ElementType.Float } || sin is not { Initializer: not null, IsGraphInput: false })
            return "its tables are not constant";
        graph.Replace(Kind, node, build => Turned(build, x, channels, new RotaryTablePattern(cos, sin, positions)));
        return null;
    }

    private static Value Turned(Building.GraphBuilder build, Value x, long channels, RotaryTablePattern tables)
    {
        if (x.Shape!.Sizes[3] == channels)
            return build.RotaryEmbedding(x, tables.Cos, tables.Sin, tables.Positions, inverse: false, "rotary");
        var parts = PartialRotation.Cut(build, x, channels);
        return PartialRotation.Join(build, build.RotaryEmbedding(parts[0], tables.Cos, tables.Sin, tables.Positions, inverse: false, "rotary"), parts[1]);
    }

    /// <summary>Turns the first channels of x in the place of a node.</summary>
    private string? Put(CanonicalGraph graph, Node root, Value x, long channels, Value cos, Value sin, bool halves)
    {
        var sizes = x.Shape!.Sizes;
        var (tables, reason) = RotaryTablePattern.Of(graph, Building.GraphBuilder.Before(root), cos, sin, (sizes[0], sizes[2], channels), halves);
        if (tables is null)
            return reason;
        graph.Replace(Kind, root, build =>
        {
            var rotated = Turned(build, x, channels, tables);
            return rotated.Type == root.Output.Type ? rotated : build.Op("cast", "Cast", [rotated], Attribute.Of("to", (long)root.Output.Type));
        });
        return null;
    }
}
