namespace Halo.Passes.Infra;

/// <summary>What a pass does to the values that a graph computes; verification holds it to that.</summary>
public abstract record ValueEffect
{
    private ValueEffect() { }

    /// <summary>Lower-case name in ledgers and reports.</summary>
    public abstract string Name { get; }

    /// <summary>Every output keeps its bits.</summary>
    public sealed record Exact : ValueEffect
    {
        public override string Name => "exact";
    }

    /// <summary>The same mathematics in another order of operations.</summary>
    /// <param name="Bound">The largest ||after - before|| / ||before|| that an output may have.</param>
    public sealed record Reassociating(double Bound) : ValueEffect
    {
        public override string Name => "reassociating";
    }

    /// <summary>Values are rounded to fewer bits.</summary>
    /// <param name="FloorDb">The least ratio of signal to rounding noise, 20 log10(||before|| / ||after - before||), of an output.</param>
    public sealed record Quantizing(double FloorDb) : ValueEffect
    {
        public override string Name => "quantizing";
    }
}
