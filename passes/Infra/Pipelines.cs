using Halo.Analysis;
using Halo.Passes.Canonical;
using Halo.Passes.Canonical.Precision;
using Halo.Passes.Cleanup;
using Halo.Passes.Export;
using Halo.Passes.Export.Weights;
using Halo.Passes.Fusion;
using Halo.Passes.Rewrite;
using Halo.Passes.Sharding;
using Halo.Passes.Training;

namespace Halo.Passes.Infra;

/// <summary>Every pass, and the pipelines that are run by name.</summary>
public static class Pipelines
{
    /// <summary>All passes, in the order in which a pipeline usually has them; each line says why the pass stands where it does.</summary>
    public static IReadOnlyList<Type> All { get; } =
    [
        typeof(UpgradeOpset),       // first: every later pass makes operators of the newest opset, and function bodies need 21
        typeof(Repair),             // before anything runs: mends exports that ONNX Runtime refuses or computes wrongly
        typeof(AdaptInputs),        // before shapes: batches give int64 tokens, and no places of them
        typeof(NameParameters),     // before shapes and folding: it recognises weights by the bytes that the exporter wrote
        typeof(HoldParameters),     // the reverse, of exports: before weights are folded, rotated and rounded
        typeof(SpecializeShapes),   // before the loss: labels take the fixed sizes of the tokens
        typeof(AttachLoss),         // before precision and gradient, which start from the loss
        typeof(ConvertPrecision),   // before matching: patterns are matched on the types that will run
        typeof(Canonicalize),       // before the gradient: fused operators bring their own gradients
        typeof(PackDocuments),      // behind matching, which finds attention, and before the gradient
        typeof(AddAdapters),        // before the gradient, which is that of adapters alone
        typeof(FoldNorms),          // before rotations: H commutes with a norm only when its weight is 1
        typeof(RotateWeights),      // before rounding: it spreads the outliers that rounding suffers from
        typeof(QuantizeWeights),    // last to touch weights of exports
        typeof(BuildGradient),      // needs names, sizes and a loss
        typeof(RederiveGradient),   // of graphs that came with a gradient: needs the same
        typeof(ChooseRows),         // behind the gradient, before its products are rotated and rounded
        typeof(OrderScatterAdds),   // behind the gradient, whose Gather rules scatter
        typeof(RemoveDeadCode),     // before folding: nothing dead is computed
        typeof(FoldSplats),         // before constants: a large repeated constant is never expanded or compared
        typeof(FoldConstants),      // before deduplication: it makes equal what was computed in two ways
        typeof(Deduplicate),        // before rewriting: F, E and G of a layer then read one X and one W
        typeof(WidenBatch),         // before rotations along the tokens, whose blocks depend on their number
        typeof(RotateOperands),     // before the casts: behind them it would spread the rounding error as well
        typeof(QuantizeOperands),   // behind rotations; codes are shared by all products that read a tensor
        typeof(FuseCasts),          // behind quantization: it takes the casts away that stand around the products
        typeof(FuseTransposedCodes), // behind the casts, which say what is quantized
        typeof(JoinFactors),        // behind rewriting, which finds layers by their factors; before the sums, which it changes
        typeof(FuseSiblings),       // before the additions, which it moves in front of rotations
        typeof(FuseAdditions),      // behind the casts, which are parts of products by then
        typeof(FuseProducers),      // behind the additions: what is quantized are sums
        typeof(FuseEmbeddingGradient), // behind all analyses, which know the nodes that it takes together
        typeof(FuseLoss),           // behind all analyses, which find the head by its product
        typeof(KeepHeadsInPlace),   // behind all that knows heads (B, H, T, D), and before recomputation, whose copies of nodes are laid out as these
        typeof(HoldTransposedCodes), // behind rewriting and fusions: it looks at the codes that products read in the end
        typeof(Recompute),          // behind rewriting: what it repeats is what will run
        typeof(FuseRecomputed),     // behind recomputation, whose nodes it takes together; before codes are kept of what these read
        typeof(SaveCodes),          // behind recomputation: what is computed again is not kept
        typeof(Shard),              // behind all of them: its graph is one rank's, and their analyses want whole parameters
        typeof(SinkGathers),        // behind sharding, whose gathers it moves
        typeof(ExchangeRows),       // behind both: it finds gathers and sums of tables where they stay
        typeof(GroupMaxima),        // behind sink-gathers: it makes the maxima
        typeof(FuseRotations),      // behind all that finds rotations and codes apart: ranks send codes, updates keep them
        typeof(OrderNodes),         // last of training graphs: it places what all others made
        typeof(OverlapCollectives), // behind the order, in which it finds what comes next
        typeof(OffloadResiduals),   // the same: its nodes are placed as they are to run
        typeof(LendGradients),      // behind both, whose order says which gradients are written late
        typeof(TakeLogits),         // first of inference: it cuts the loss and the gradient away
        typeof(FreeShapes),         // before the cache: its inputs have free sizes
        typeof(CacheAttention),     // on com.halo.Attention, before it is lowered
        typeof(LowerHaloOperators), // last of inference: what remains runs on ONNX Runtime alone
        typeof(FuseInference),      // of what a GPU runs, when its session is made: other runtimes have fusions of their own
        typeof(FitCudaProvider),    // of what runs there alone, when its session is made
    ];

    /// <summary>What every rewrite begins with: large repeated constants go before anything is computed or compared.</summary>
    public const string Cleanup = "upgrade-opset,order-scatter-adds,remove-dead-code,fold-splats,fold-constants,deduplicate";

    /// <summary>Builds the gradient of a joint graph anew; what that leaves to fold or merge is folded and merged.</summary>
    public const string Rederive = "rederive-gradient,repair," + Tidy;

    /// <summary>Leaves out what is not needed and computes what can be.</summary>
    private const string Tidy = "remove-dead-code,fold-splats,fold-constants,deduplicate";

    /// <summary>The end of every rewrite: what several nodes do becomes one kernel. Behind all analyses, which know the nodes.</summary>
    public const string Fuse = "fuse-casts,fuse-embedding-gradient,remove-dead-code";

    /// <summary>The same for graphs that run on a GPU.</summary>
    public const string FuseForGpu =
        "fuse-casts,fuse-transposed-codes,join-factors,fuse-siblings,fuse-additions,fuse-producers,fuse-embedding-gradient,fuse-loss,"
        + "keep-heads-in-place,remove-dead-code";

    /// <summary>The pipeline of a HALO rewrite.</summary>
    /// <param name="scheme">Axes to rotate.</param>
    /// <param name="format">Formats of operands.</param>
    /// <param name="schemes">Other schemes for some layers.</param>
    /// <param name="formats">Other formats for some layers.</param>
    /// <param name="rederive">Build the gradient of a joint graph anew before.</param>
    /// <param name="forGpu">Where the graph is to run: what helps there and costs on a CPU is done as well.</param>
    /// <param name="rows">Share of each weight's rows that gets a gradient; null: all.</param>
    public static IReadOnlyList<IGraphPass> Rewrite(
        HaloScheme scheme, GemmFormats format, LayerRules<HaloScheme>? schemes = null, LayerRules<GemmFormats>? formats = null, bool rederive = false,
        bool forGpu = false, double? rows = null)
    {
        var passes = Parse(rederive ? $"{Cleanup},{Rederive}" : Cleanup).ToList();
        if (rows is { } share)
            passes.Add(new ChooseRows(share));
        if (!scheme.Equals(HaloScheme.None) || schemes is { IsEmpty: false })
            passes.Add(new RotateOperands(scheme, schemes is { IsEmpty: true } ? null : schemes));
        if (format.All.Any() || formats is { IsEmpty: false })
            passes.Add(new QuantizeOperands(format, formats is { IsEmpty: true } ? null : formats));
        passes.AddRange(Parse(forGpu ? FuseForGpu : Fuse));
        return passes;
    }

    /// <summary>From the graph of a run, training or evaluation, to that of one of its ranks.</summary>
    public static IReadOnlyList<IGraphPass> OfRank(ShardPlan plan) => [.. Split(plan), .. plan.Ranks == 1 ? [] : Overlap];

    /// <summary>Its first part.</summary>
    public static IReadOnlyList<IGraphPass> Split(ShardPlan plan) => plan.Ranks == 1 ? []
        : [new Shard(plan.Mode, plan.Ranks, plan.Rank, plan.NodeRanks, plan.Gradients, plan.Base, plan.Feedback), new SinkGathers(),
            new ExchangeRows(plan.Lookups), new GroupMaxima()];

    /// <summary>Its second part, behind what else works on a rank's rows.</summary>
    public static IReadOnlyList<IGraphPass> Overlap { get; } = [new FuseRotations(), new OrderNodes(), new OverlapCollectives()];

    /// <summary>The rewrite of the forward part of a training graph for several batches at once: as many copies of it, rewritten as one graph.</summary>
    /// <param name="copies">Batches at once.</param>
    /// <param name="rewrite">The rewrite of the training graph. Where it builds the gradient anew, from canonical operators, the copies are canonical too.</param>
    public static IReadOnlyList<IGraphPass> Widen(int copies, IReadOnlyList<IGraphPass> rewrite)
    {
        var gradient = rewrite.ToList().FindIndex(pass => pass is RederiveGradient);
        return gradient < 0 ? [new UpgradeOpset(), new WidenBatch(copies), .. rewrite]
            : [.. rewrite.Take(gradient), new Canonicalize(), new WidenBatch(copies), .. rewrite.Skip(gradient + 1)];
    }

    /// <summary>
    /// The pipeline that makes a training graph of a forward graph: parameters by name, fixed sizes, a loss, one float type, operators of com.halo
    /// unless raw, the gradient.
    /// </summary>
    public static IReadOnlyList<IGraphPass> Gradient(GradientSettings settings) =>
    [
        new UpgradeOpset(), new Repair(), new AdaptInputs(), new NameParameters(), new SpecializeShapes(settings.Batch, settings.Sequence), new AttachLoss(),
        new ConvertPrecision(settings.Precision, settings.KeepParameters), .. Parse(Tidy),
        .. settings.Raw ? (IReadOnlyList<IGraphPass>)[]
            : [new Canonicalize(settings.Precision == FloatPrecision.Fp32 ? Canonicalize.Float32Bound : Canonicalize.Float16Bound)],
        .. settings.Packs ? (IReadOnlyList<IGraphPass>)[new PackDocuments()] : [],
        .. Differentiate(settings.Freeze, settings.Adapters),
    ];

    /// <summary>The end of <see cref="Gradient"/>, for forward graphs that have parameters, sizes and loss already.</summary>
    /// <param name="freeze">Parameters without a gradient.</param>
    /// <param name="adapters">Adapters to add, over a frozen base.</param>
    public static IReadOnlyList<IGraphPass> Differentiate(NamePatterns? freeze = null, AddAdapters? adapters = null) => adapters is null
        ? [new BuildGradient(freeze), new OrderScatterAdds(), new Repair(), .. Parse(Tidy)]
        : [adapters, new BuildGradient(freeze ?? new NamePatterns([$"!{AdapterNames.Prefix}*"])), new OrderScatterAdds(), new Repair(), .. Parse(Tidy)];

    /// <summary>Adapters over a graph that came with its gradient: that is dropped, and built anew for the adapters alone.</summary>
    public static IReadOnlyList<IGraphPass> Adapt(AddAdapters adapters) =>
        [new UpgradeOpset(), new Repair(), .. Parse(Tidy), new Canonicalize(), .. Differentiate(adapters: adapters)];

    /// <summary>
    /// The pipeline that makes an inference graph of a training graph or a forward graph whose parameters are inputs and whose sizes are fixed: free sizes, a
    /// cache of keys and values, operators of ONNX Runtime alone. See <see cref="TakeLogits"/> and <see cref="CacheAttention"/> for inputs and outputs.
    /// </summary>
    /// <param name="positions">The longest sequence, prompt and answer together.</param>
    /// <param name="precision">The type of parameters, activations and caches; logits are float32.</param>
    public static IReadOnlyList<IGraphPass> Inference(int positions, FloatPrecision precision = FloatPrecision.Fp32) =>
        [.. Cached(positions), new LowerHaloOperators(), new ConvertPrecision(precision), .. Parse(Tidy)];

    /// <summary>As <see cref="Inference"/>, with the weights held in the graph, read from the checkpoint when it is written.</summary>
    /// <param name="positions">Rows of the rotary tables: the most tokens of a row.</param>
    /// <param name="precision">Of activations, caches and weights.</param>
    /// <param name="format">How weights are rounded; null leaves them in <paramref name="precision"/>.</param>
    /// <param name="rotate">Fold norms and rotations into the weights before.</param>
    /// <param name="activations">What int4 and int8 weights are multiplied by; null is the pass's own choice.</param>
    /// <param name="adapters">Adapters beside the weights, whose parameters stay inputs.</param>
    public static IReadOnlyList<IGraphPass> Export(
        int positions, FloatPrecision precision, WeightFormat? format, bool rotate, ActivationFormat? activations = null, AddAdapters? adapters = null) =>
    [
        .. Cached(positions, adapters), new HoldParameters(), .. rotate ? (IReadOnlyList<IGraphPass>)[new FoldNorms(), new RotateWeights()] : [], new LowerHaloOperators(),
        new ConvertPrecision(precision), new RemoveDeadCode(),
        .. format is { } rounded ? (IReadOnlyList<IGraphPass>)[new QuantizeWeights(rounded, Activations: activations)] : [],
    ];

    /// <summary>The graph that decodes through a cache, in operators of com.halo.</summary>
    private static IReadOnlyList<IGraphPass> Cached(int positions, AddAdapters? adapters = null) =>
        [new UpgradeOpset(), new Repair(), .. Parse(Tidy), new TakeLogits(), new Canonicalize(), .. adapters is null ? (IReadOnlyList<IGraphPass>)[] : [adapters],
        new FreeShapes(), new CacheAttention(positions)];

    /// <summary>The passes of a pipeline text.</summary>
    public static IReadOnlyList<IGraphPass> Parse(string text) => PipelineParser.Parse(text);
}
