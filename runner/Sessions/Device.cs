using System.Globalization;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Canonical.Precision;
using Microsoft.ML.OnnxRuntime;
using TensorElementType = Microsoft.ML.OnnxRuntime.Tensors.TensorElementType;

namespace Halo.Runner.Sessions;

/// <summary>Where graphs run and their tensors lie: the CPU, or one GPU. A GPU is looked for when it is first used, not when it is named.</summary>
/// <remarks>Sessions and tensors that belong together share one: it knows how much memory the tensors take that stay there.</remarks>
/// <param name="kind">What it is.</param>
/// <param name="ordinal">Which of several, from 0.</param>
internal sealed class Device(GraphDevice kind, int ordinal = 0)
{
    private static readonly Lock ZerosLock = new();
    private static HostMemory? _zeros;
    private static long _zeroBytes = -1;
    private long _heldBytes;

    /// <summary>The CPU, for tensors that nothing else is counted with.</summary>
    public static Device Cpu => new(GraphDevice.Cpu);

    public GraphDevice Kind => kind;

    public int Ordinal => ordinal;

    public bool IsGpu => kind == GraphDevice.Cuda;

    /// <summary>For a reader.</summary>
    /// <exception cref="HaloException">There is no such GPU, or no provider for it.</exception>
    public string Name => IsGpu ? Gpu.HardwareDevice.Metadata.Entries["name"] : "the CPU";

    /// <summary>Bytes of the <see cref="DeviceTensor"/>s there.</summary>
    public long HeldBytes => Interlocked.Read(ref _heldBytes);

    /// <summary>Of the bytes that there are: what was planned, and what would fit. Ends the message that memory ran out; null says nothing more.</summary>
    public Func<long, string>? ShortageAdvice { get; set; }

    /// <summary>Bytes of memory that the device has, the host's where it is the CPU.</summary>
    /// <exception cref="HaloException">There is no such GPU, or no provider for it.</exception>
    public long TotalBytes => IsGpu ? long.Parse(Gpu.HardwareDevice.Metadata.Entries["memory_bytes"], CultureInfo.InvariantCulture)
        : GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;

    /// <summary>A GPU as ONNX Runtime knows it.</summary>
    /// <exception cref="HaloException">There is no such GPU, or no provider for it.</exception>
    internal OrtEpDevice Gpu => GpuProvider.Find(ordinal);

    /// <summary>Where outputs of a session on this device lie.</summary>
    internal OrtMemoryInfo Memory => IsGpu ? Gpu.GetMemoryInfo(OrtDeviceMemoryType.DEFAULT) : OrtMemoryInfo.DefaultInstance;

    /// <summary>Throws unless graphs can run there.</summary>
    /// <exception cref="HaloException">There is no such GPU, or no provider for it; 16 bits are asked of the CPU.</exception>
    public void Require(FloatPrecision precision = FloatPrecision.Fp32)
    {
        if (IsGpu)
            _ = Gpu;
        else if (precision != FloatPrecision.Fp32)
        {
            throw new HaloException("session", "precision", "fp32 on the CPU, which has no 16-bit arithmetic", precision.Type().Name(),
                "Leave --precision out, or run on a GPU with --device cuda.");
        }
    }

    /// <summary>Memory for a tensor that stays; <see cref="Free"/> gives it back.</summary>
    /// <exception cref="HaloException">There is no such GPU.</exception>
    /// <exception cref="InvalidOperationException">The device has no memory left.</exception>
    internal OrtValue Allocate(ElementType type, long[] sizes, long sizeBytes)
    {
        try
        {
            var allocator = IsGpu ? OrtEnv.Instance().GetSharedAllocator(Memory) : OrtAllocator.DefaultInstance;
            var value = OrtValue.CreateAllocatedTensorValue(allocator, (TensorElementType)(int)type, sizes);
            Interlocked.Add(ref _heldBytes, sizeBytes);
            return value;
        }
        catch (OnnxRuntimeException e) when (IsGpu && GpuProblems.Take().Memory is { } shortage)
        {
            throw new InvalidOperationException($"device: cuda: {shortage.Text(HeldBytes, rows: null)}{AdviceFor(shortage)}", e);
        }
    }

    /// <summary>Zeros for a tensor that stays, in page-locked memory of the host that the GPU's kernels read and write; <see cref="FreePinned"/> gives it back.</summary>
    /// <exception cref="InvalidOperationException">The host has none left.</exception>
    internal (OrtValue Value, nint Address) AllocatePinned(ElementType type, long[] sizes, long sizeBytes)
    {
        _ = Gpu; // loads the provider
        var address = NativeOperators.Pin(sizeBytes);
        if (address == 0)
        {
            throw new InvalidOperationException($"device: host: expected {sizeBytes:N0} bytes of page-locked memory, found none. "
                + "Free memory of the host, raise the limit of locked memory (ulimit -l), or leave offload out.");
        }
        return (OrtValue.CreateTensorValueWithData(Memory, (TensorElementType)(int)type, sizes, address, sizeBytes), address);
    }

    /// <summary>So many zeros on the host, to copy from. One piece for all: pages that nobody has written are one page of zeros to the system.</summary>
    internal static nint Zeros(long bytes)
    {
        lock (ZerosLock)
        {
            if (bytes > _zeroBytes)
                (_zeros, _zeroBytes) = (new HostMemory(bytes), bytes); // one that is too small may still be read: it is left to the process, untouched
            return _zeros!.Address;
        }
    }

    internal static void FreePinned(OrtValue value, nint address)
    {
        value.Dispose();
        NativeOperators.Unpin(address);
    }

    /// <summary>A sentence with a space in front; "" where nobody advises.</summary>
    internal string AdviceFor(GpuShortage shortage) => ShortageAdvice?.Invoke(shortage.InUse + shortage.Free) is { } advice ? $" {advice}" : "";

    internal void Free(OrtValue value, long sizeBytes)
    {
        Interlocked.Add(ref _heldBytes, -sizeBytes);
        value.Dispose();
    }
}
