using System.Runtime.InteropServices;

namespace Halo.Runner.Sessions;

/// <summary>Memory of the host of any size, outside the managed heap; zeros at first.</summary>
internal sealed unsafe class HostMemory(long bytes) : IDisposable
{
    public nint Address { get; } = (nint)NativeMemory.AllocZeroed((nuint)Math.Max(1, bytes));

    /// <summary>Some of the bytes.</summary>
    public Span<byte> Slice(long offset, int length) => offset >= 0 && offset + length <= bytes ? new Span<byte>((byte*)Address + offset, length)
        : throw new ArgumentOutOfRangeException(nameof(offset), offset, $"{length} bytes of {bytes}");

    public void Dispose() => NativeMemory.Free((void*)Address);
}
