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
public sealed class World(ShardPlan plan, Communicator communicator) : IDisposable
{
    public ShardPlan Plan { get; } = plan;

    public Rank Rank { get; } = new(plan.Rank, plan.Ranks);

    /// <summary>The place among the ranks of this machine, from 0: the number of its GPU.</summary>
    public int LocalRank => Plan.Rank % Plan.NodeRanks;

    /// <summary>This rank writes what is written once: settings, logs, report.</summary>
    public bool IsFirst => Rank.Index == 0;

    /// <summary>This rank's part of tensors is written by it: nodes that hold copies of others write nothing.</summary>
    public bool Writes => Plan.Rank < Plan.Parts;

    public Communicator Communicator { get; } = communicator;

    /// <summary>What one rank does for all, such as an artifact of a large model, may take so long; one that died is noticed at once.</summary>
    private const double WorkSeconds = 3600;

    /// <summary>What each rank says.</summary>
    public byte[][] Gather(string what, ReadOnlySpan<byte> own, double? timeoutSeconds = null)
    {
        try
        {
            return Communicator.Gather(what, own, timeoutSeconds);
        }
        catch (HaloException e)
        {
            throw new RankFailedException(e.Message); // not this rank's input was wrong
        }
    }

    /// <summary>A number of each rank.</summary>
    public double[] Gather(string what, double own) =>
        Array.ConvertAll(Gather(what, MemoryMarshal.AsBytes([own])), bytes => MemoryMarshal.Read<double>(bytes));

    /// <summary>Whether it is so on some rank.</summary>
    public bool Any(string what, bool own) => Gather(what, own ? [1] : [0]).Any(said => said[0] != 0);

    /// <summary>What rank 0 says.</summary>
    public string FromFirst(string what, string own) => Encoding.UTF8.GetString(Gather(what, IsFirst ? Encoding.UTF8.GetBytes(own) : [])[0]);

    /// <summary>Does something that may fail on some rank; then all of them end, with the message of the first that failed.</summary>
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
        if (problem is not null)
            System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(problem);
        if (Array.FindIndex(said, s => s.Length > 0) is var failed and >= 0)
            throw new RankFailedException($"train: {Rank}, {what}: rank {failed} failed: {Encoding.UTF8.GetString(said[failed])}");
    }

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
                throw new HaloException("train", $"rank {rank}, {name}", $"what rank 0 has ({said[0][index]})", said[rank].ElementAtOrDefault(index) ?? "none",
                    "Start all ranks with the same settings, files and version.");
            }
        }
    }

    public void Dispose() => Communicator.Dispose();
}
