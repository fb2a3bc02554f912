using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Sharding;

namespace Halo.Runner.Distributed;

/// <summary>Sums over the ranks that hold parts of one copy, in graphs that are built.</summary>
internal static class PartSums
{
    /// <summary>Makes of a sum () over a part that over all of them, for <c>GradientGraphs.Norm</c>; null where each rank holds all.</summary>
    public static Func<GraphBuilder, Value, Value>? Over(ShardPlan plan) => plan.Parts == 1 ? null : (build, sum) =>
        build.CollectiveWait(build.AllReduceStart(sum, "sum", plan.Parts, plan.Part, plan.Group, "squares/start"), [], "squares/of_all");
}
