namespace Halo.Passes.Sharding;

/// <summary>What ranks send each other for tokens that look up rows of a split table.</summary>
public enum LookupExchange
{
    /// <summary>Rows where they are fewer bytes than the table and nothing else wants it whole, as a tied head does; else the table.</summary>
    Auto,

    /// <summary>The rows of their tokens, and the gradients of these.</summary>
    Rows,

    /// <summary>The whole table, and its whole gradient.</summary>
    Table,
}
