using Halo.Building;
using Halo.Ir;

namespace Halo.CustomOps;

/// <summary>Makes nodes that copy to the host and back.</summary>
public static class HostCopyExtensions
{
    internal const string Types = "float, float16, bfloat16, int8, float8e4m3fn, float8e5m2";

    /// <summary>Starts to copy <paramref name="x"/> into the memory of <paramref name="into"/>.</summary>
    public static Value OffloadStart(this GraphBuilder build, Value into, Value x, string name) =>
        HaloOperators.Call(build, name, nameof(CustomOps.OffloadStart), [into, x], 1, "").Output;

    /// <summary>Starts to copy <paramref name="x"/> from the host to the device.</summary>
    public static Value FetchStart(this GraphBuilder build, Value x, string name) =>
        HaloOperators.Call(build, name, nameof(CustomOps.FetchStart), [x], 1, "").Output;

    /// <summary>What a copy gives, when it is there; also after <paramref name="after"/> are computed or, if they are pending themselves, started.</summary>
    public static Value CopyWait(this GraphBuilder build, Value pending, IReadOnlyList<Value> after, string name) =>
        HaloOperators.Call(build, name, nameof(CustomOps.CopyWait), [pending, .. after], 1, after.Count == 0 ? "" : $"{after.Count}").Output;
}
