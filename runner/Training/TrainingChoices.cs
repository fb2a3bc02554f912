namespace Halo.Training;

/// <summary>The float type of what a run keeps: parameters, gradients, moments.</summary>
public enum StatePrecision
{
    Fp32,
    Bf16,
}

/// <summary>What frozen linear weights under an adapter are held as.</summary>
public enum BaseWeights
{
    /// <summary>As 8-bit codes where products read those, else in their own type.</summary>
    Own,

    /// <summary>4-bit codes in blocks of 32, decoded for each product.</summary>
    Int4,
}

/// <summary>What the backward part computes again, each level with what the one before saves of weights.</summary>
public enum Recomputed
{
    None,

    /// <summary>Weights in other types, orders or codes.</summary>
    Weights,

    /// <summary>These, and activations that no product is needed for.</summary>
    Elementwise,

    /// <summary>Weights, and what stands behind a layer's attention.</summary>
    FeedForward,

    /// <summary>Activations that no product is needed for in all layers, what stands behind attention in those that recompute_layers says.</summary>
    Mixed,

    /// <summary>Weights, and whole layers.</summary>
    Layer,
}

/// <summary>How often the 8-bit codes of trained weights are made.</summary>
public enum WeightCodes
{
    /// <summary>In each micro-batch, and freed behind it.</summary>
    MicroBatch,

    /// <summary>Once an update, for all of its micro-batches.</summary>
    Update,
}

/// <summary>What lies in page-locked memory of the host, where a GPU's kernels read and write it.</summary>
public enum Offload
{
    None,
    Moments,

    /// <summary>Moments and parameters.</summary>
    States,
}

/// <summary>The gradient norm that clipping goes by.</summary>
public enum ClipReference
{
    Step,
    PreviousStep,
}

/// <summary>How a run is made to fit into memory.</summary>
public enum MemoryFit
{
    Off,
    Auto,
}

/// <summary>What shares a row of the graph.</summary>
public enum RowPacking
{
    None,

    /// <summary>As many rows of data as fit, each a document of its own.</summary>
    Documents,
}

/// <summary>Which checkpoint of a run is its model.</summary>
public enum TakenModel
{
    /// <summary>The last one.</summary>
    Newest,

    /// <summary>The one of the least validation loss.</summary>
    Best,
}
