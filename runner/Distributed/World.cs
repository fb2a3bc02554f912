using System.Runtime.InteropServices;
using System.Text;
using Halo.CustomOps;
using Halo.Passes.Sharding;
using Halo.Runner.Sessions;

namespace Halo.Runner.Distributed;

/// <summary>The ranks that share a run: what is split among them, and how they speak to each other beside the collectives of their graphs.</summary>
/// <remarks>What ranks say is said by all of them, in the same order, and each hears what all said.</remarks>
/// <param name="plan">What is split, and this rank's place.</param>
/// <param name="communicator">Carries it; owned from then on.</param>
internal sealed class World(ShardPlan plan, Communicator communicator) : IDisposable
{
    public ShardPlan Plan { get; private set; } = plan;

    public Rank Rank { get; } = new(plan.Rank, plan.Ranks);

    /// <summary>The place among the ranks of this machine, from 0.</summary>
    public int LocalRank => Plan.Rank % Plan.NodeRanks;

    /// <summary>Ranks of a machine with fewer GPUs take them in turns, as NCCL does not.</summary>
    public bool SharesGpus { get; init; }

    /// <summary>What carries tensors on a GPU lets runs be recorded and replayed.</summary>
    public bool Records { get; init; }

    /// <summary>How long the others wait for this rank. When it was stopped for longer, they have ended, and said that it was.</summary>
    public TimeSpan Timeout { init => _absence = new Absence(value); }

    /// <summary>Where this rank's graphs run: each has a GPU of its own, unless they share them.</summary>
    public Device DeviceOf(GraphDevice kind) => new(kind, kind == GraphDevice.Cuda && SharesGpus ? LocalRank % GpuProvider.Count : LocalRank);

    /// <summary>An adapter is trained: what is split is its base.</summary>
    public void TrainAdapters() => Plan = Plan.OfAdapters();

    /// <summary>This rank writes what is written once: settings, logs, report.</summary>
    public bool IsFirst => Rank.Index == 0;

    /// <summary>This rank's part of tensors is written by it: nodes that hold copies of others write nothing.</summary>
    public bool Writes => Plan.Rank < Plan.Parts;

    public Communicator Communicator { get; } = communicator;

    /// <summary>What one rank does for all, such as an artifact of a large model, may take so long; one that died is noticed at once.</summary>
    private const double WorkSeconds = 3600;

    private const int WatchMilliseconds = 50;

    private Timer? _watch;
    private int _isSaid; // 1 once the reason for the end is said
    private bool _isAgreed; // all ranks have found it
    private readonly Absence _absence = new(TimeSpan.MaxValue);

    /// <summary>What each rank says.</summary>
    public byte[][] Gather(string what, ReadOnlySpan<byte> own, double? timeoutSeconds = null)
    {
        try
        {
            return Communicator.Gather(what, own, timeoutSeconds);
        }
        catch (HaloException e)
        {
            throw new RankFailedException(e.Message, isAgreed: false); // not this rank's input was wrong
        }
    }

    /// <summary>A number of each rank.</summary>
    public double[] Gather(string what, double own) =>
        Array.ConvertAll(Gather(what, MemoryMarshal.AsBytes([own])), bytes => MemoryMarshal.Read<double>(bytes));

    /// <summary>Whether it is so on some rank.</summary>
    public bool Any(string what, bool own) => Gather(what, own ? [1] : [0]).Any(said => said[0] != 0);

    /// <summary>What rank 0 says.</summary>
    public string FromFirst(string what, string own) => Encoding.UTF8.GetString(Gather(what, IsFirst ? Encoding.UTF8.GetBytes(own) : [])[0]);

    /// <summary>Does something that may fail on some rank; then all of them end, and the first that failed says why.</summary>
    public void Together(string what, Action action)
    {
        Exception? problem = null;
        try
        {
            action();
        }
        catch (Exception e)
        {
            problem = e;
        }
        var said = Gather(what, problem is null ? [] : Encoding.UTF8.GetBytes(problem.Message), WorkSeconds);
        if (Array.FindIndex(said, s => s.Length > 0) is var failed and >= 0)
        {
            throw problem is not null && failed == Rank.Index ? new OnRankException($"{Rank}, {what}", problem)
                : new RankFailedException($"train: {Rank}, {what}: rank {failed} failed: {Encoding.UTF8.GetString(said[failed])}");
        }
    }

    /// <summary>What all ranks have found at once is said by the first.</summary>
    public Exception Agreed(Exception found)
    {
        _isAgreed = true;
        return IsFirst ? found : new RankFailedException(found.Message);
    }

    /// <summary>Tells the others that this rank ends, and makes of its reason what is to be said by it: of one reason, one rank says it.</summary>
    public Exception End(Exception reason)
    {
        if (_isAgreed || reason is OnRankException or RankFailedException { IsAgreed: true })
            return reason;
        if (_absence.IsJustOver())
            return new RankFailedException(reason.Message);
        if (Communicator.Problem is not null)
            return Failure() is { } text ? new InvalidOperationException(text) : new RankFailedException(reason.Message);
        Interlocked.Exchange(ref _isSaid, 1);
        Communicator.Fail(reason.Message);
        _ = Communicator.Failure(); // all are told
        return new OnRankException($"{Rank}", reason);
    }

    /// <summary>Lets a failure of others be said at once, also while this rank computes: the launcher ends it soon.</summary>
    public void Watch(Action<string> say) => _watch ??= new Timer(_ =>
    {
        if (!_absence.IsJustOver() && Communicator.Problem is not null && Failure() is { } text)
            say(text);
    }, null, WatchMilliseconds, WatchMilliseconds);

    /// <summary>Why ranks end, where this one is to say it and has not yet.</summary>
    private string? Failure() => Communicator.Failure() is (var text, true) && Interlocked.Exchange(ref _isSaid, 1) == 0 ? $"train: {text}" : null;

    /// <summary>Throws unless all ranks have the same of each of some things.</summary>
    /// <exception cref="HaloException">Names the first thing, and the first rank that has another one than rank 0.</exception>
    public void Hold(string what, IReadOnlyList<(string Name, string Value)> own)
    {
        var said = Array.ConvertAll(Gather(what, Encoding.UTF8.GetBytes(string.Join('\n', own.Select(o => o.Value.ReplaceLineEndings(" "))))),
            bytes => Encoding.UTF8.GetString(bytes).Split('\n'));
        foreach (var (index, (name, _)) in own.Index())
        {
            for (var rank = 1; rank < said.Length; rank++)
            {
                if (said[rank].ElementAtOrDefault(index) == said[0][index])
                    continue;
                throw Agreed(new HaloException("train", $"rank {rank}, {name}", $"what rank 0 has ({said[0][index]})",
                    said[rank].ElementAtOrDefault(index) ?? "none", "Start all ranks with the same settings, files and version."));
            }
        }
    }

    public void Dispose()
    {
        if (_watch is not null)
        {
            using var isDone = new ManualResetEvent(false);
            if (_watch.Dispose(isDone))
                isDone.WaitOne();
        }
        Communicator.Dispose();
    }
}
