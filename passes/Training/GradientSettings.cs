using Halo.Passes.Canonical.Precision;
using Halo.Passes.Infra;

namespace Halo.Passes.Training;

/// <summary>What a training graph shall be like that is made of a forward graph.</summary>
/// <param name="Batch">Rows of a run.</param>
/// <param name="Sequence">Tokens of a row.</param>
/// <param name="Precision">The type of parameters and products.</param>
/// <param name="Raw">Differentiate the exported operators, without fusing them first.</param>
/// <param name="Freeze">Parameters without a gradient.</param>
/// <param name="KeepParameters">Parameters and gradients are float32 whatever the precision.</param>
/// <param name="Adapters">Adapters to add; they are trained alone, but for what <paramref name="Freeze"/> says.</param>
/// <param name="Packs">Rows hold several documents; not with <paramref name="Raw"/>, whose attention is not found.</param>
public sealed record GradientSettings(
    long Batch, long Sequence, FloatPrecision Precision = FloatPrecision.Fp32, bool Raw = false, NamePatterns? Freeze = null,
    bool KeepParameters = false, AddAdapters? Adapters = null, bool Packs = false);
