using Halo.Building;
using Halo.Ir;

namespace Halo.Passes.Sharding;

/// <summary>Token ids of all ranks, gathered once for all that look rows up by them.</summary>
internal sealed class SharedIds
{
    private readonly Dictionary<(Value Ids, long Rows), (Value Own, Value All)> _made = [];

    /// <summary>
    /// The numbers of <paramref name="ids"/> (T) and those of all ranks (N T), in the order of ranks. One below 0 becomes that of the row behind the table,
    /// which whoever reads it refuses.
    /// </summary>
    public (Value Own, Value All) Of(GraphBuilder build, Value ids, TablePlace place)
    {
        while (ids.Producer is { } view && (view.Is("Reshape") || view.Is("Identity")))
            ids = view.Inputs[0]!;
        if (_made.TryGetValue((ids, place.Rows), out var made))
            return made;
        var tokens = ids.Shape!.ElementCount!.Value;
        var flat = build.Op("ids/flat", "Reshape", [ids, build.Constant("ids/shape", Tensor.Int64s(tokens))]);
        var isBelow = build.Op("ids/is_below", "Less", [flat, build.Constant("ids/zero", Tensor.Scalar(0L))]);
        var own = build.Op("ids/own", "Where", [isBelow, build.Constant("ids/behind", Tensor.Scalar(place.Rows)), flat]);
        var all = build.Gather(own, [.. Enumerable.Repeat(tokens, place.Ranks)], place.Rank, place.Group, "ids/of_all");
        _made.Add((ids, place.Rows), (own, all));
        return (own, all);
    }
}
