using System.IO.MemoryMappedFiles;
using Halo.Io;

namespace Halo.Models.Weights;

/// <summary>A safetensors file, memory-mapped: opening reads the header only, and tensors are read where they lie.</summary>
/// <remarks>
/// Sizes are 64-bit; a span covers at most 2^31 bytes, larger tensors are read in parts. The format is little-endian, as are the machines this runs on.
/// </remarks>
public sealed unsafe class SafetensorsFile : IDisposable
{
    private readonly MemoryMappedFile _map;
    private readonly MemoryMappedViewAccessor _view;
    private readonly OrderedDictionary<string, SafetensorsTensor> _tensors = [];
    private byte* _start;

    private SafetensorsFile(string path)
    {
        Path = path;
        FilePlace.RequireRegular(path);
        using var handle = File.OpenHandle(path);
        var sizeBytes = RandomAccess.GetLength(handle); // of the open file: that of a path to a symbolic link is the link's
        if (sizeBytes < 8) throw SafetensorsHeader.Defect(path, "8 bytes of header length", $"a file of {sizeBytes} bytes");
        _map = MemoryMappedFile.CreateFromFile(path, FileMode.Open, mapName: null, capacity: 0, MemoryMappedFileAccess.Read);
        _view = _map.CreateViewAccessor(0, 0, MemoryMappedFileAccess.Read);
        _view.SafeMemoryMappedViewHandle.AcquirePointer(ref _start);
        try
        {
            var length = SafetensorsHeader.Length(path, new ReadOnlySpan<byte>(_start, 8), sizeBytes);
            DataStart = 8 + length;
            var (entries, metadata) = SafetensorsHeader.Parse(path, new ReadOnlySpan<byte>(_start + 8, (int)length), sizeBytes - DataStart);
            Metadata = metadata;
            foreach (var entry in entries) _tensors.Add(entry.Name, new SafetensorsTensor(this, entry));
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public string Path { get; }

    /// <summary>Bytes from the start of the file to the first tensor.</summary>
    public long DataStart { get; }

    /// <summary>By name, in the order of the header.</summary>
    public IReadOnlyDictionary<string, SafetensorsTensor> Tensors => _tensors;

    /// <summary>The header's <c>__metadata__</c>, empty if it has none.</summary>
    public IReadOnlyDictionary<string, string> Metadata { get; }

    /// <exception cref="HaloException">The file is missing, unreadable, truncated or not what the format allows.</exception>
    public static SafetensorsFile Open(string path)
    {
        if (Directory.Exists(path))
            throw new HaloException("read-safetensors", path, "a safetensors file", "a folder", "Name the file in it.");
        try { return new SafetensorsFile(path); }
        catch (HaloException e) when (FileContent.Other(path) is not null) // asked only then: the length of a header may look like any other beginning
        {
            var (found, advice) = FileContent.Other(path)!.Value;
            throw new HaloException("read-safetensors", path, "a safetensors file", found, advice, e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new HaloException("read-safetensors", path, "a file that can be read", e.Message.TrimEnd('.'), "Check the path and its permissions.", e);
        }
    }

    /// <exception cref="HaloException">There is no tensor of that name.</exception>
    public SafetensorsTensor this[string name] => _tensors.TryGetValue(name, out var tensor) ? tensor
        : throw new HaloException("read-safetensors", Path, $"a tensor '{name}'", $"{_tensors.Count} others", "Check that the file belongs to this model.");

    /// <summary>The bytes of a tensor of less than 2 GiB, in place.</summary>
    public ReadOnlySpan<byte> Bytes(string name) => this[name].Bytes();

    /// <summary>A tensor's elements as float32, row-major.</summary>
    public float[] ReadFloats(string name) => this[name].ReadFloats();

    /// <summary>A tensor's elements as 64-bit integers, row-major.</summary>
    public long[] ReadLongs(string name) => this[name].ReadLongs();

    internal ReadOnlySpan<byte> Data(long offset, int length)
    {
        ObjectDisposedException.ThrowIf(_start == null, this);
        return new ReadOnlySpan<byte>(_start + DataStart + offset, length);
    }

    public void Dispose()
    {
        if (_start == null) return;
        _start = null;
        _view.SafeMemoryMappedViewHandle.ReleasePointer();
        _view.Dispose();
        _map.Dispose();
    }
}
