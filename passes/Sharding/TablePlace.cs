using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;

namespace Halo.Passes.Sharding;

/// <summary>Where the rows of a table lie that a collective's <paramref name="start"/> gathers, or sums.</summary>
/// <param name="start">Says how many rows each rank has.</param>
/// <param name="rows">Of the whole table.</param>
internal sealed class TablePlace(Node start, long rows)
{
    private readonly IReadOnlyList<long> _parts = CollectiveOperator.RowsOf(start);

    public long Rows { get; } = rows;

    public int Ranks => _parts.Count;

    public int Rank { get; } = CollectiveOperator.RankOf(start);

    public string Group { get; } = start.String("group", Collectives.World);

    /// <summary>This rank's first row.</summary>
    public long First => _parts.Take(Rank).Sum();

    /// <summary>This rank's rows.</summary>
    public long Count => _parts[Rank];

    /// <summary>
    /// The rank that has each of <paramref name="ids"/>, which are 0 or more; <see cref="Ranks"/> or more for an id behind the table. The first parts have one
    /// row more than the others (<see cref="ShardPlan.RowsOf"/>): of two quotients the larger is right.
    /// </summary>
    public Value OwnerOf(GraphBuilder build, Value ids)
    {
        var (least, more) = (Rows / Ranks, Rows % Ranks);
        var from = more == 0 ? ids : build.Op("owner/from_more", "Sub", [ids, Number("owner/more", more)]);
        var even = build.Op("owner/even", "Div", [from, Number("owner/least", least)]);
        return more == 0 ? even : build.Op("owner", "Max", [even, build.Op("owner/first", "Div", [ids, Number("owner/most", least + 1)])]);

        Value Number(string name, long number) => build.Constant(name, Tensor.Scalar(number));
    }
}
