using Halo.Passes.Infra;
using Halo.Passes.Precision;

namespace Halo.Passes;

/// <summary>Every pass, and the pipelines that are run by name.</summary>
public static class Pipelines
{
    /// <summary>All passes, in the order in which a pipeline usually has them. A pass is added by writing its file and one line here.</summary>
    public static IReadOnlyList<Type> All { get; } =
    [
        typeof(UpgradeOpset),
        typeof(Repair),
        typeof(NameParameters),
        typeof(HoldParameters),
        typeof(SpecializeShapes),
        typeof(AttachLoss),
        typeof(ConvertPrecision),
        typeof(Canonicalize),
        typeof(FoldNorms),
        typeof(RotateWeights),
        typeof(QuantizeWeights),
        typeof(BuildGradient),
        typeof(RederiveGradient),
        typeof(OrderScatterAdds),
        typeof(RemoveDeadCode),
        typeof(FoldSplats),
        typeof(FoldConstants),
        typeof(Deduplicate),
        typeof(WidenBatch),
        typeof(RotateOperands),
        typeof(QuantizeOperands),
        typeof(Recompute),
    ];

    /// <summary>What every rewrite begins with: large repeated constants go before anything is computed or compared.</summary>
    public const string Cleanup = "upgrade-opset,order-scatter-adds,remove-dead-code,fold-splats,fold-constants,deduplicate";

    /// <summary>Builds the gradient of a joint graph anew; what that leaves to fold or merge is folded and merged.</summary>
    public const string Rederive = "rederive-gradient,repair," + Tidy;

    /// <summary>Leaves out what is not needed and computes what can be.</summary>
    private const string Tidy = "remove-dead-code,fold-splats,fold-constants,deduplicate";

    /// <summary>The pipeline of a HALO rewrite.</summary>
    /// <param name="scheme">Axes to rotate.</param>
    /// <param name="format">Formats of operands.</param>
    /// <param name="schemes">Other schemes for some layers.</param>
    /// <param name="formats">Other formats for some layers.</param>
    /// <param name="rederive">Build the gradient of a joint graph anew before.</param>
    public static IReadOnlyList<IGraphPass> Rewrite(
        HaloScheme scheme, GemmFormats format, LayerRules<HaloScheme>? schemes = null, LayerRules<GemmFormats>? formats = null, bool rederive = false)
    {
        var passes = Parse(rederive ? $"{Cleanup},{Rederive}" : Cleanup).ToList();
        if (!scheme.Equals(HaloScheme.None) || schemes is { IsEmpty: false })
            passes.Add(new RotateOperands(scheme, schemes is { IsEmpty: true } ? null : schemes));
        if (format.All.Any() || formats is { IsEmpty: false })
            passes.Add(new QuantizeOperands(format, formats is { IsEmpty: true } ? null : formats));
        passes.Add(new RemoveDeadCode());
        return passes;
    }

    /// <summary>
    /// The pipeline that makes a training graph of a forward graph: parameters by name, fixed sizes, a loss, one float type, operators of com.halo
    /// unless raw, the gradient.
    /// </summary>
    public static IReadOnlyList<IGraphPass> Gradient(GradientSettings settings) =>
    [
        new UpgradeOpset(), new Repair(), new NameParameters(), new SpecializeShapes(settings.Batch, settings.Sequence), new AttachLoss(),
        new ConvertPrecision(settings.Precision, settings.KeepParameters), .. Parse(Tidy),
        .. settings.Raw ? (IReadOnlyList<IGraphPass>)[] : [new Canonicalize(settings.Precision == FloatPrecision.Fp32 ? Canonicalize.Float32Bound : Canonicalize.Float16Bound)],
        .. Differentiate(settings.Freeze),
    ];

    /// <summary>The end of <see cref="Gradient"/>, for forward graphs that have parameters, sizes and loss already.</summary>
    public static IReadOnlyList<IGraphPass> Differentiate(NamePatterns? freeze = null) =>
        [new BuildGradient(freeze), new OrderScatterAdds(), new Repair(), .. Parse(Tidy)];

    /// <summary>The passes of a pipeline text.</summary>
    public static IReadOnlyList<IGraphPass> Parse(string text) => PipelineParser.Parse(text);
}
