namespace Halo.Memory;

/// <summary>Places for blocks in one piece of memory, each taken when it is asked for, in the smallest gap that has room.</summary>
/// <remarks>As ONNX Runtime packs a run's buffers from the second run on: one block for all of them.</remarks>
internal sealed class BlockPacking
{
    private readonly List<(long Offset, long Bytes, int Id)> _taken = []; // by offset

    /// <summary>Bytes from the first block's begin to the last one's end, at the most.</summary>
    public long PeakBytes { get; private set; }

    /// <summary>Bytes of the blocks that are taken.</summary>
    public long TakenBytes { get; private set; }

    public void Take(int id, long bytes)
    {
        if (bytes == 0)
            return;
        var (best, at, waste, end) = (_taken.Count == 0 ? 0 : _taken[^1].Offset + _taken[^1].Bytes, _taken.Count, long.MaxValue, 0L);
        for (var i = 0; i < _taken.Count; i++)
        {
            var gap = _taken[i].Offset - end;
            if (gap >= bytes && gap - bytes < waste)
                (best, at, waste) = (end, i, gap - bytes);
            end = _taken[i].Offset + _taken[i].Bytes;
        }
        _taken.Insert(at, (best, bytes, id));
        PeakBytes = Math.Max(PeakBytes, best + bytes);
        TakenBytes += bytes;
    }

    public void Free(int id)
    {
        var at = _taken.FindIndex(b => b.Id == id);
        if (at < 0)
            return;
        TakenBytes -= _taken[at].Bytes;
        _taken.RemoveAt(at);
    }
}
