namespace Halo.Memory;

/// <summary>The memory of one run of a graph, besides what others hold: inputs, initializers and bound outputs.</summary>
/// <param name="LiveBytes">The most at once where each buffer is taken and given back by itself, as in a session's first run; work memory included.</param>
/// <param name="PackedBytes">The most where all buffers lie in one block, as in later runs; work memory included.</param>
/// <param name="Peak">The place of the node at which <paramref name="LiveBytes"/> are taken.</param>
/// <param name="Buffers">All of them.</param>
internal sealed record RunMemory(long LiveBytes, long PackedBytes, int Peak, Buffers Buffers)
{
    /// <summary>What allocators round to.</summary>
    public const long Alignment = 256;

    /// <summary>The most that any run takes.</summary>
    public long PeakBytes => Math.Max(LiveBytes, PackedBytes);

    public static RunMemory Of(Buffers buffers, IKernelMemory kernels)
    {
        var (order, all) = (buffers.Order, buffers.All);
        var frees = new List<int>?[order.Count];
        for (var i = 0; i < all.Count; i++)
            (frees[all[i].Last] ??= []).Add(i);
        var packing = new BlockPacking();
        var (next, live, most, peak, work) = (0, 0L, 0L, 0, 0L);
        for (var i = 0; i < order.Count; i++)
        {
            for (; next < all.Count && all[next].First == i; next++)
            {
                live += Rounded(all[next].SizeBytes);
                packing.Take(next, Rounded(all[next].SizeBytes));
            }
            var wanted = kernels.WorkBytes(order[i]);
            work = Math.Max(work, wanted);
            if (live + wanted > most)
                (most, peak) = (live + wanted, i);
            foreach (var freed in frees[i] ?? [])
            {
                live -= Rounded(all[freed].SizeBytes);
                packing.Free(freed);
            }
        }
        return new RunMemory(most, packing.PeakBytes + work, peak, buffers);
    }

    /// <summary>The buffers that are taken at a place of the run.</summary>
    public IEnumerable<Buffer> At(int place) => Buffers.All.Where(b => b.First <= place && place <= b.Last);

    public static long Rounded(long bytes) => (Math.Max(bytes, 1) + Alignment - 1) / Alignment * Alignment;
}
