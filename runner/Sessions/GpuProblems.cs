using Halo.CustomOps;

namespace Halo.Runner.Sessions;

/// <summary>What the provider noted when a session could not be made or run.</summary>
/// <param name="Nodes">Those it has no kernel for, each with why.</param>
/// <param name="Memory">The allocation that failed; null if none did.</param>
internal sealed record GpuProblems(IReadOnlyList<string> Nodes, GpuShortage? Memory)
{
    private const int Shown = 8;

    /// <summary>The nodes as one text, the first of many.</summary>
    public string NodeText => string.Join("; ", Nodes.Take(Shown)) + (Nodes.Count > Shown ? $"; and {Nodes.Count - Shown} more" : "");

    /// <summary>Those since the last call.</summary>
    public static GpuProblems Take()
    {
        var lines = NativeOperators.CudaProblems();
        var memory = lines.LastOrDefault(line => line[0] == "memory");
        return new GpuProblems([.. lines.Where(line => line[0] == "node").Select(line => line[1])],
            memory is null ? null : new GpuShortage(long.Parse(memory[1]), long.Parse(memory[2]), long.Parse(memory[3]), long.Parse(memory[4])));
    }
}

/// <summary>An allocation that failed, in bytes.</summary>
/// <param name="Wanted">What it asked for.</param>
/// <param name="InUse">What was in use then.</param>
/// <param name="Free">What was left, though perhaps not in one piece.</param>
/// <param name="Total">What the GPU has.</param>
internal sealed record GpuShortage(long Wanted, long InUse, long Free, long Total)
{
    /// <summary>Work memory of products, LtProducts::kWorkspaceBytes (a test compares them), whatever the rows.</summary>
    internal const long ProductWork = 32 << 20;

    /// <summary>What is needed, what there is, and the rows that can fit.</summary>
    /// <param name="held">Bytes of parameters, gradients and moments, which do not depend on the rows.</param>
    /// <param name="rows">B of the graph; null where it has none.</param>
    /// <param name="activations">Bytes of the graph's values at once, where its sizes are known: what failed may be far from the most.</param>
    public string Text(long held, long? rows, long activations = 0)
    {
        var have = InUse + Free;
        var needed = Math.Max(InUse + Wanted, activations == 0 ? 0 : held + activations + ProductWork);
        var text = $"expected about {Mebibytes(needed)} of GPU memory, {Mebibytes(held)} of it for parameters, gradients and moments; "
            + $"found {Mebibytes(have)} of {Mebibytes(Total)} ({Mebibytes(Wanted)} were asked for, {Mebibytes(Free)} were free)";
        if (rows is not > 1 || needed <= held)
            return $"{text}. Take a smaller batch or a shorter sequence.";
        var (room, perRow) = activations == 0 ? (have - held, (double)(needed - held) / rows.Value)
            : (have - held - ProductWork, (double)(needed - held - ProductWork) / rows.Value);
        var fitting = Math.Min(rows.Value - 1, (long)(Math.Max(0, room) / perRow));
        return fitting > 0 ? $"{text}. A batch of {fitting} rows of the graph's {rows} is the most that can fit."
            : $"{text}. Take a graph of fewer rows or a shorter sequence.";
    }

    private static string Mebibytes(long bytes) => $"{(bytes + (1 << 20) - 1) >> 20:N0} MiB";
}
