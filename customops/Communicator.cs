using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.RegularExpressions;

namespace Halo.CustomOps;

/// <summary>What collectives of one operator, group and type have cost a rank.</summary>
/// <param name="Collective">The operator that starts them.</param>
/// <param name="Group">Whose ranks take part: world, node or peers.</param>
/// <param name="Type">Of their elements, by its name.</param>
/// <param name="Count">Collectives that were completed.</param>
/// <param name="Bytes">Sent to other ranks.</param>
/// <param name="Seconds">They ran, until the others came included.</param>
/// <param name="WaitSeconds">Somebody waited for them.</param>
public sealed record CollectiveCount(string Collective, string Group, string Type, long Count, long Bytes, double Seconds, double WaitSeconds);

/// <summary>One rank's way to the others: sessions whose graphs have collectives name it by their entry <see cref="ConfigKey"/>.</summary>
/// <remarks>
/// Collectives run in the order in which they are started, which must be the same on all ranks. A rank that fails, does something else or does not come within
/// the time limit ends the collectives of all with an error that names it; nothing can be done with the communicator then but to close it.
/// </remarks>
public sealed partial class Communicator : IDisposable
{
    /// <summary>The entry of a session's configuration that has <see cref="Id"/>, in decimal.</summary>
    public const string ConfigKey = "halo.communicator";

    /// <summary>How long a collective waits for the other ranks, if nothing else is said.</summary>
    /// <remarks>All are to end within 30 s: a launcher takes some seconds more to end a rank that is stopped.</remarks>
    public const double DefaultTimeoutSeconds = 20;

    private static long _worlds;
    private readonly nint _library;
    private bool _isClosed;

    private unsafe Communicator(string libraryPath, string kind, string name, int rank, int world, int ranksPerNode, double timeoutSeconds)
    {
        _library = NativeLibrary.Load(libraryPath);
        var open = (delegate* unmanaged<byte*, byte*, int, int, int, double, long*, nint>)NativeLibrary.GetExport(_library, "HaloCommunicatorOpen");
        fixed (byte* kindText = Text(kind), nameText = Text(name))
        {
            long id;
            Check(open(kindText, nameText, rank, world, ranksPerNode, timeoutSeconds, &id), kind);
            Id = id;
        }
        var place = stackalloc int[3];
        Check(((delegate* unmanaged<long, int*, nint>)NativeLibrary.GetExport(_library, "HaloCommunicatorPlace"))(Id, place), kind);
        (Rank, Size, RanksPerNode) = (place[0], place[1], place[2]);
    }

    public long Id { get; }

    public int Rank { get; }

    /// <summary>How many ranks there are.</summary>
    public int Size { get; }

    /// <summary>How many of them run on each machine.</summary>
    public int RanksPerNode { get; }

    /// <summary>Ranks as threads of this process, one communicator each; a session that uses one must run on a thread of its own.</summary>
    public static Communicator[] Threads(int world, int ranksPerNode = 0, double timeoutSeconds = DefaultTimeoutSeconds) =>
        Threads(NativeOperators.LibraryPath, world, ranksPerNode, timeoutSeconds);

    internal static Communicator[] Threads(string libraryPath, int world, int ranksPerNode, double timeoutSeconds, RankCarrier carrier = RankCarrier.Host)
    {
        var name = $"world {Interlocked.Increment(ref _worlds)}";
        return [.. Enumerable.Range(0, world).Select(rank =>
            new Communicator(libraryPath, Kind("threads", carrier), name, rank, world, ranksPerNode == 0 ? world : ranksPerNode, timeoutSeconds))];
    }

    /// <summary>Ranks as processes that mpirun or srun started; once a process. Rank and sizes are MPI's.</summary>
    /// <param name="timeoutSeconds">How long a collective waits for the other ranks.</param>
    /// <param name="carrier">
    /// What carries tensors on a GPU. NCCL and copies do on a stream of their own; whether a collective has failed is known then when a run is over:
    /// <see cref="ThrowIfFailed"/> before its results are used.
    /// </param>
    /// <exception cref="HaloException">There is no Open MPI, or it does not start. NCCL is opened at the first collective.</exception>
    public static Communicator Mpi(double timeoutSeconds = DefaultTimeoutSeconds, RankCarrier carrier = RankCarrier.Host) =>
        new(NativeOperators.LibraryPath, Kind("mpi", carrier), "", 0, 1, 1, timeoutSeconds);

    /// <summary>Ranks as processes that know their numbers and where rank 0 is, as torchrun tells them; without MPI.</summary>
    /// <param name="address">Of rank 0's machine.</param>
    /// <param name="port">One that is free there: rank 0 listens at it. torchrun's own store has MASTER_PORT.</param>
    /// <param name="rank">This one's number.</param>
    /// <param name="world">How many ranks there are.</param>
    /// <param name="ranksPerNode">How many run on each machine, one behind the other.</param>
    /// <param name="timeoutSeconds">How long a collective waits for the other ranks, and a rank for the others to come.</param>
    /// <param name="carrier">As <see cref="Mpi"/> has it.</param>
    /// <exception cref="HaloException">The others do not come in time, or are another number.</exception>
    public static Communicator Tcp(string address, int port, int rank, int world, int ranksPerNode, double timeoutSeconds = DefaultTimeoutSeconds,
        RankCarrier carrier = RankCarrier.Host) =>
        new(NativeOperators.LibraryPath, Kind("tcp", carrier), $"{address}:{port}", rank, world, ranksPerNode, timeoutSeconds);

    /// <summary>What each rank gives, in order: settings to be compared, sums of a few numbers, or nothing at all, to wait for all.</summary>
    /// <param name="what">Names the step; the same on all ranks.</param>
    /// <param name="own">What this rank gives, of any length.</param>
    /// <param name="timeoutSeconds">How long to wait for the others; the communicator's own limit where nothing is said.</param>
    /// <exception cref="HaloException">A rank failed, or does something else.</exception>
    public unsafe byte[][] Gather(string what, ReadOnlySpan<byte> own, double? timeoutSeconds = null)
    {
        var all = new byte[Size][];
        var context = GCHandle.Alloc(all);
        try
        {
            var gather = (delegate* unmanaged<long, byte*, byte*, long, double, delegate* unmanaged<nint, int, byte*, long, void>, nint, nint>)
                NativeLibrary.GetExport(_library, "HaloCommunicatorGather");
            fixed (byte* whatText = Text(what), data = own)
                Check(gather(Id, whatText, data, own.Length, timeoutSeconds ?? 0, &Take, GCHandle.ToIntPtr(context)), what);
            return all;
        }
        finally
        {
            context.Free();
        }
    }

    /// <summary>Tells all ranks that this one cannot go on, and why; their collectives end with it.</summary>
    public unsafe void Fail(string cause)
    {
        fixed (byte* text = Text(cause))
            ((delegate* unmanaged<long, byte*, void>)NativeLibrary.GetExport(_library, "HaloCommunicatorFail"))(Id, text);
    }

    /// <summary>Why ranks end, "rank 2: expected ..", and whether this rank is the one that says so to people; null where nothing went wrong.</summary>
    /// <remarks>Waits for up to half a second where others may be the ones: of what several ranks see at once, the lowest that is there speaks.</remarks>
    public unsafe (string Text, bool Speaks)? Failure()
    {
        int speaks;
        var text = ((delegate* unmanaged<long, int*, nint>)NativeLibrary.GetExport(_library, "HaloCommunicatorFailure"))(Id, &speaks);
        return Marshal.PtrToStringUTF8(text) is { } failure ? (Place().Replace(failure, ""), speaks != 0) : null;
    }

    /// <exception cref="HaloException">A collective failed, or a rank said that it cannot go on.</exception>
    public void ThrowIfFailed() => Check(Problem, "collectives");

    /// <summary>What went wrong first; null where nothing did.</summary>
    public unsafe string? Problem =>
        Marshal.PtrToStringUTF8(((delegate* unmanaged<long, nint>)NativeLibrary.GetExport(_library, "HaloCommunicatorProblem"))(Id));

    /// <summary>What was sent so far.</summary>
    public unsafe IReadOnlyList<CollectiveCount> Counters()
    {
        var text = ((delegate* unmanaged<long, nint>)NativeLibrary.GetExport(_library, "HaloCommunicatorCounts"))(Id);
        double Number(string field) => double.Parse(field, CultureInfo.InvariantCulture);
        return
        [
            .. Marshal.PtrToStringUTF8(text)!.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => line.Split('\t'))
                .Select(f => new CollectiveCount(f[0], f[1], f[2], long.Parse(f[3], CultureInfo.InvariantCulture),
                    long.Parse(f[4], CultureInfo.InvariantCulture), Number(f[5]), Number(f[6]))),
        ];
    }

    /// <summary>Ends it, once what was started is over: all ranks close.</summary>
    public unsafe void Dispose()
    {
        if (!_isClosed)
            ((delegate* unmanaged<long, void>)NativeLibrary.GetExport(_library, "HaloCommunicatorClose"))(Id);
        _isClosed = true;
    }

    [UnmanagedCallersOnly]
    private static unsafe void Take(nint context, int rank, byte* data, long bytes) =>
        ((byte[][])GCHandle.FromIntPtr(context).Target!)[rank] = new ReadOnlySpan<byte>(data, checked((int)bytes)).ToArray();

    /// <summary>The transport with what carries tensors on a GPU, as the library names them.</summary>
    private static string Kind(string transport, RankCarrier carrier) =>
        carrier switch { RankCarrier.Nccl => transport + "+nccl", RankCarrier.Copies => transport + "+copies", _ => transport };

    private static byte[] Text(string text) => Encoding.UTF8.GetBytes(text + '\0');

    /// <summary>Throws what the library says, "expected .., found .. . Advice (file:line)", or what a rank said that failed.</summary>
    private void Check(nint problem, string what) => Check(Marshal.PtrToStringUTF8(problem), what);

    private void Check(string? problem, string what)
    {
        if (problem is not { } text)
            return;
        var subject = $"rank {Rank}, {what}";
        throw Refusal().Match(text) is { Success: true } parts
            ? new HaloException("collectives", subject, parts.Groups[1].Value, parts.Groups[2].Value, parts.Groups[3].Value)
            : new HaloException("collectives", subject, "ranks that go on", text.TrimEnd('.'), "See the messages of that rank.");
    }

    /// <summary>Where in the source a status was made.</summary>
    [GeneratedRegex(@" \(\w+\.(cc|h):\d+\)$")]
    private static partial Regex Place();

    [GeneratedRegex(@"^expected (.+?), found (.+?)\. ([A-Z].*?)(?: \(\w+\.(?:cc|h):\d+\))?$", RegexOptions.Singleline)]
    private static partial Regex Refusal();
}
