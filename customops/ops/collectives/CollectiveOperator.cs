using Halo.Ir;
using Halo.Operators;

namespace Halo.CustomOps;

/// <summary>An operator that starts a collective: what it gives is pending until <see cref="CollectiveWait"/> has it.</summary>
/// <remarks>
/// Attributes: group, whose ranks take part (world; node, those of one machine; peers, those with the same place on their machines); rank, the index of
/// this rank in the group; rows, how many rows of the whole tensor each member of the group has, in order. A row is all that an index of axis 0 selects.
/// All ranks run the same collectives in the same order. A graph of several ranks has no meaning on one machine alone, so there is no body; a group of one
/// rank is the identity, with a body.
/// </remarks>
public abstract class CollectiveOperator : HaloOperator
{
    /// <summary>The overload of a group of one rank.</summary>
    public const string Alone = "alone";

    protected const string AnyType = "float, float16, bfloat16, int8, uint8, int32, int64, float8e4m3fn, float8e5m2";

    /// <summary>Names of groups.</summary>
    public static IReadOnlyList<string> Groups { get; } = ["world", "node", "peers"];

    public override OperatorRole Role => new OperatorRole.Collective();

    public override bool HasBody(Node node) => RanksOf(node) == 1;

    public override FunctionBody Body(Node node)
    {
        var body = new FunctionBody("X") { AttributeNames = [.. node.Attributes.Keys] };
        return body.Output("Y", body.Op("y", "Identity", [body.Input(0)]));
    }

    /// <summary>How many ranks take part.</summary>
    public static int RanksOf(Node node) => node.Attributes.ContainsKey("rows") ? RowsOf(node).Count : (int)node.Int("ranks", 1);

    /// <summary>The index of this rank in its group.</summary>
    public static int RankOf(Node node) => (int)node.Int("rank", 0);

    /// <summary>Rows of each member of the group.</summary>
    public static IReadOnlyList<long> RowsOf(Node node) => node.Attributes["rows"].Ints;

    /// <summary>Throws where the attributes contradict each other.</summary>
    protected void RequirePlace(Node node)
    {
        Require(node, RanksOf(node) >= 1 && RankOf(node) >= 0 && RankOf(node) < RanksOf(node), "a rank below the number of ranks",
            $"rank {RankOf(node)} of {RanksOf(node)}");
        Require(node, Groups.Contains(node.String("group", "world")), $"group {string.Join(", ", Groups)}", $"'{node.String("group", "")}'");
        Require(node, !node.Attributes.ContainsKey("rows") || RowsOf(node).All(rows => rows >= 0), "rows of 0 or more",
            node.Attributes.TryGetValue("rows", out var rows) ? string.Join(", ", rows.Ints) : "none");
    }

    /// <summary>The shape of X with <paramref name="rows"/> along axis 0; throws unless X has <paramref name="expected"/>.</summary>
    protected Shape? WithRows(Node node, long expected, long rows)
    {
        if (node.Inputs[0]!.Shape is not { } shape)
            return null;
        Require(node, shape.Rank > 0 && !ShapeRule.Differ(shape[0], expected), $"X of {expected} rows", $"{shape}");
        return new Shape([rows, .. shape.Skip(1)]);
    }

    private void Require(Node node, bool holds, string expected, string found)
    {
        if (!holds)
            throw new HaloException(OpType, node.ToString(), expected, found, "Shard the graph again.");
    }
}
