using System.Text.Json;
using Halo.Io;

namespace Halo.Runner.Runs;

/// <summary>One trainer a run: a lock on a file of its folder, which says who holds it. Reading a run needs none.</summary>
/// <remarks>The system takes the lock back when its process ends, so that nothing has to be told dead. The file stays, empty; it is written over.</remarks>
internal sealed class RunLock : IDisposable
{
    public const string FileName = "run.lock";

    private readonly FileLock _lock;

    private RunLock(FileLock held) => _lock = held;

    /// <param name="folder">The run's.</param>
    /// <param name="name">What messages call the folder.</param>
    /// <exception cref="HaloException">Another trainer has it, or the folder cannot be written.</exception>
    public static RunLock Take(string folder, string name)
    {
        var path = Path.Combine(folder, FileName);
        try
        {
            var held = FileLock.TryTake(path) ?? throw new HaloException("train", name, "a run that nobody trains", Holder(path),
                "Wait for its end, or choose another output; eval, export and generate read a run beside its trainer.");
            var holder = new { process = Environment.ProcessId, host = Environment.MachineName, since = DateTimeOffset.UtcNow.ToString("u") };
            held.Write(JsonSerializer.SerializeToUtf8Bytes(holder));
            return new RunLock(held);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new HaloException("train", Path.Combine(name, FileName), "a file that can be locked and written",
                e.Message.Replace(folder, name, StringComparison.Ordinal).TrimEnd('.'), "Free space, or choose another output.", e);
        }
    }

    public void Dispose()
    {
        try { _lock.Write([]); }
        catch (IOException) { /* who held it last harms nobody */ }
        _lock.Dispose();
    }

    private static string Holder(string path)
    {
        try
        {
            using var holder = JsonDocument.Parse(File.ReadAllText(path));
            return $"process {holder.RootElement.GetProperty("process")} on {holder.RootElement.GetProperty("host")}, which trains it since "
                + $"{holder.RootElement.GetProperty("since")}";
        }
        catch (Exception e) when (e is JsonException or IOException or KeyNotFoundException or InvalidOperationException)
        {
            return "another process, which trains it";
        }
    }
}
