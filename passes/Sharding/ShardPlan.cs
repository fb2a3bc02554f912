using Halo.Ir;

namespace Halo.Passes.Sharding;

/// <summary>Which rows of a tensor lie on which rank: a value, from which every graph and buffer of a rank follows.</summary>
/// <param name="Mode">What is split.</param>
/// <param name="Ranks">N; ranks of a node are neighbours.</param>
/// <param name="Rank">This one, from 0.</param>
/// <param name="NodeRanks">Ranks of a node.</param>
/// <remarks>Rows are whole, so that what is done along a row stays local, and as even as can be: the first N mod P parts have one more.</remarks>
public sealed record ShardPlan(ShardMode Mode, int Ranks, int Rank, int NodeRanks)
{
    /// <summary>What gradients of matrices are sent as, where they are split.</summary>
    public SentGradients Gradients { get; init; }

    /// <summary>With gradients in 8 bits: what rounding leaves of them is kept on each rank, and added to the next ones.</summary>
    public bool Feedback { get; init; }

    /// <summary>What is sent for tokens that look up rows of a table that is split.</summary>
    public LookupExchange Lookups { get; init; }

    /// <summary>How the codes of a frozen base are split, over which adapters are trained that every rank has.</summary>
    public ShardMode Base { get; init; }

    /// <summary>The same where adapters are trained: nothing of what is updated is split, but the base is.</summary>
    public ShardPlan OfAdapters() => this with { Mode = ShardMode.None, Base = Mode };

    /// <summary>Where the base's rows lie.</summary>
    public ShardPlan OfBase => this with { Mode = Base, Base = ShardMode.None };

    /// <summary>A run of one process.</summary>
    public static ShardPlan Single { get; } = new(ShardMode.None, 1, 0, 1);

    /// <summary>Parts that state is split into.</summary>
    public int Parts => Mode switch { ShardMode.None => 1, ShardMode.Hybrid => NodeRanks, _ => Ranks };

    /// <summary>The part of this rank.</summary>
    public int Part => Rank % Parts;

    /// <summary>Parameters are split as well.</summary>
    public bool SplitsParameters => Mode is ShardMode.Full or ShardMode.Hybrid;

    /// <summary>Whose ranks hold the parts of one copy, as operators name it.</summary>
    public string Group => Mode == ShardMode.Hybrid ? Collectives.Node : Collectives.World;

    /// <summary>The same for another rank.</summary>
    public ShardPlan For(int rank) => this with { Rank = rank };

    /// <summary>Rows of each part.</summary>
    public long[] RowsOf(long rows) => [.. Enumerable.Range(0, Parts).Select(p => (rows / Parts) + (p < rows % Parts ? 1 : 0))];

    /// <summary>The rows of this rank's part.</summary>
    public (long First, long Count) RangeOf(long rows) => (RowsOf(rows).Take(Part).Sum(), RowsOf(rows)[Part]);

    /// <summary>The shape of this rank's part.</summary>
    public Shape Of(Shape whole) => Parts == 1 ? whole : Shape.Of([RangeOf(whole.Sizes[0]).Count, .. whole.Sizes[1..]]);
}
