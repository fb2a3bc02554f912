using Halo.Ir;

namespace Halo.Tests.Scale;

/// <summary>Any number of zeros, a mebibyte of which is held.</summary>
public sealed class ZeroBytes(long sizeBytes) : ITensorBytes
{
    private static readonly byte[] Zeros = new byte[1 << 20];

    public long SizeBytes => sizeBytes;

    public void ReadChunks(ChunkReader chunk)
    {
        for (long at = 0; at < sizeBytes; at += Zeros.Length)
        {
            if (!chunk(Zeros.AsSpan(0, (int)Math.Min(Zeros.Length, sizeBytes - at))))
                return;
        }
    }
}
