using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Halo.Ir;
using Microsoft.ML.OnnxRuntime;
using TensorElementType = Microsoft.ML.OnnxRuntime.Tensors.TensorElementType;

namespace Halo.Runner.Sessions;

/// <summary>A tensor that graphs are bound to and that stays where it is; its content goes in and out by copies. Zeros at first.</summary>
internal sealed class DeviceTensor : IDisposable
{
    private readonly Device _device;
    private readonly ElementType _type;
    private readonly long[] _sizes;
    private readonly nint _pinned; // 0 where the device has it

    /// <param name="device">Whose graphs are bound to it.</param>
    /// <param name="type">Of the elements.</param>
    /// <param name="sizes">Of the axes.</param>
    /// <param name="onHost">In page-locked memory of the host, which a GPU's kernels read and write over the bus.</param>
    /// <exception cref="HaloException">There is no such device.</exception>
    /// <exception cref="InvalidOperationException">The device, or the host, has no memory left.</exception>
    public DeviceTensor(Device device, ElementType type, ReadOnlySpan<long> sizes, bool onHost = false)
    {
        (_device, _type, _sizes) = (device, type, sizes.ToArray());
        if (onHost && device.IsGpu)
        {
            (Value, _pinned) = device.AllocatePinned(type, _sizes, SizeBytes);
            return;
        }
        Value = device.Allocate(type, _sizes, SizeBytes);
        Write(Device.Zeros(SizeBytes));
    }

    /// <summary>What sessions bind.</summary>
    public OrtValue Value { get; }

    public long SizeBytes => _type.SizeBytes(_sizes.Aggregate(1L, (a, b) => a * b));

    /// <summary>The elements themselves, where the device is the CPU.</summary>
    /// <exception cref="InvalidOperationException">They lie on a GPU.</exception>
    public Span<T> Span<T>() where T : unmanaged => !_device.IsGpu ? Value.GetTensorMutableDataAsSpan<T>()
        : throw new InvalidOperationException("the tensor lies on a GPU: read or write it whole");

    /// <summary>All elements, as many as the tensor has.</summary>
    public unsafe void Write<T>(ReadOnlySpan<T> values) where T : unmanaged
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual((long)values.Length * sizeof(T), SizeBytes);
        fixed (T* address = values)
            Write((nint)address);
    }

    /// <summary>All bytes, from memory of the host.</summary>
    public unsafe void Write(nint address)
    {
        if (_device.IsGpu)
        {
            using var host = Wrap(address);
            Copy(host, Value);
            return;
        }
        ref var own = ref _type == ElementType.Float ? ref Unsafe.As<float, byte>(ref MemoryMarshal.GetReference(Value.GetTensorMutableDataAsSpan<float>()))
            : ref MemoryMarshal.GetReference(Value.GetTensorMutableRawData()); // whose span counts fewer than 2^31 bytes
        fixed (byte* target = &own)
            System.Buffer.MemoryCopy((void*)address, target, SizeBytes, SizeBytes);
    }

    /// <summary>All elements, as many as the tensor has.</summary>
    public unsafe void Read<T>(Span<T> values) where T : unmanaged
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual((long)values.Length * sizeof(T), SizeBytes);
        if (!_device.IsGpu)
        {
            Value.GetTensorMutableRawData().CopyTo(MemoryMarshal.AsBytes(values));
            return;
        }
        fixed (T* address = values)
        {
            using var host = Wrap((nint)address);
            Copy(Value, host);
        }
    }

    public unsafe T[] ToArray<T>() where T : unmanaged
    {
        var values = new T[SizeBytes / sizeof(T)];
        Read<T>(values);
        return values;
    }

    /// <summary>Some of the bytes as a tensor of their own, which must not outlive this one.</summary>
    /// <param name="type">Of its elements.</param>
    /// <param name="sizes">Of its axes.</param>
    /// <param name="offset">Bytes in front of it.</param>
    /// <exception cref="ArgumentOutOfRangeException">It ends behind this one.</exception>
    public OrtValue Lend(ElementType type, ReadOnlySpan<long> sizes, long offset)
    {
        long[] axes = [.. sizes];
        var sizeBytes = type.SizeBytes(axes.Aggregate(1L, (a, b) => a * b));
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(offset + sizeBytes, SizeBytes);
        return OrtValue.CreateTensorValueWithData(_device.Memory, (TensorElementType)(int)type, axes, Address + (nint)offset, sizeBytes);
    }

    /// <summary>Where the elements lie, on the device; spans count fewer than 2^31 elements.</summary>
    private unsafe nint Address => _pinned != 0 ? _pinned : (nint)(_type switch
    {
        ElementType.Float => Unsafe.AsPointer(ref MemoryMarshal.GetReference(Value.GetTensorMutableDataAsSpan<float>())),
        ElementType.BFloat16 => Unsafe.AsPointer(ref MemoryMarshal.GetReference(Value.GetTensorMutableDataAsSpan<BFloat16>())),
        _ => Unsafe.AsPointer(ref MemoryMarshal.GetReference(Value.GetTensorMutableRawData())),
    });

    public void Dispose()
    {
        if (_pinned != 0)
            Device.FreePinned(Value, _pinned);
        else
            _device.Free(Value, SizeBytes);
    }

    private static void Copy(OrtValue from, OrtValue to) => OrtEnv.Instance().CopyTensors([from], [to], null);

    private OrtValue Wrap(nint address) =>
        OrtValue.CreateTensorValueWithData(OrtMemoryInfo.DefaultInstance, (TensorElementType)(int)_type, _sizes, address, SizeBytes);
}
