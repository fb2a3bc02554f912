using Halo.Ir;

namespace Halo.CustomOps;

/// <summary>What collectives send, as communicators count it: bytes that one rank sends to others.</summary>
internal static class CollectiveBytes
{
    /// <summary>Bytes that the rank of <paramref name="start"/> sends to the others of its group; its shapes are known.</summary>
    /// <exception cref="ArgumentException">It starts no collective, or a size is not known.</exception>
    public static long SentBy(Node start)
    {
        if (HaloOperators.Of(start) is not CollectiveOperator || start.Inputs[0]!.Shape?.ElementCount is not { } elements)
            throw new ArgumentException($"{start} starts no collective of known size", nameof(start));
        return start.Inputs[0]!.Type.SizeBytes(ElementsSentBy(start, elements));
    }

    private static long ElementsSentBy(Node start, long elements)
    {
        var (ranks, rank) = (CollectiveOperator.RanksOf(start), CollectiveOperator.RankOf(start));
        switch (start.OpType)
        {
            case nameof(AllGatherStart):
                return elements * (ranks - 1);
            case nameof(AllReduceStart): // parts as even as may be; the others' parts of X, then the own part of Y to each
                var part = (elements / ranks) + (rank < elements % ranks ? 1 : 0);
                return elements - part + (part * (ranks - 1));
            default:
                var rows = CollectiveOperator.RowsOf(start);
                return rows.Sum() == 0 ? 0 : elements / rows.Sum() * (rows.Sum() - rows[rank]);
        }
    }
}
