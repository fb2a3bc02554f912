namespace Halo.Io;

/// <summary>A file that grows at its end, each piece handed to the system as it is appended.</summary>
internal sealed class AppendedFile : IDisposable
{
    private readonly FileStream _stream;

    /// <param name="path">The file; its content stays.</param>
    /// <exception cref="HaloException">It cannot be opened for writing.</exception>
    public AppendedFile(string path)
    {
        try
        {
            _stream = new FileStream(path, FileMode.Append, FileAccess.Write, FileShare.Read, bufferSize: 0);
        }
        catch (Exception e) when (AtomicFile.IsOfTheDisk(e))
        {
            throw AtomicFile.Refusal(path, e.Message, e);
        }
    }

    /// <exception cref="HaloException">The disk is full; the file may end in a part of the piece.</exception>
    public void Append(ReadOnlySpan<byte> bytes)
    {
        try
        {
            _stream.Write(bytes);
        }
        catch (Exception e) when (AtomicFile.IsOfTheDisk(e))
        {
            throw AtomicFile.Refusal(_stream.Name, e.Message, e);
        }
    }

    /// <summary>Waits until all that was appended is on the disk.</summary>
    /// <exception cref="HaloException">The disk fails.</exception>
    public void Sync()
    {
        try
        {
            DiskSync.File(_stream.SafeFileHandle, _stream.Name);
        }
        catch (IOException e)
        {
            throw AtomicFile.Refusal(_stream.Name, e.Message, e);
        }
    }

    public void Dispose() => _stream.Dispose();
}
