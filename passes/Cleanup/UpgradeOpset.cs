using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Passes.Cleanup;

/// <summary>Raises the version of ONNX's operator set, rewriting the operators whose definition changed on the way; never lowers it.</summary>
/// <remarks>
/// Types that a later version allows change nothing for a graph that does not have them, so most operators stand in
/// <see cref="Unchanged"/>. Functions are raised along with the graph: ONNX Runtime resolves an inlined body at the model's version.
/// </remarks>
/// <param name="To">The least version to have; 21 is the first whose Transpose and Reshape take 8-bit floats.</param>
public sealed record UpgradeOpset(long To = 21) : IGraphPass
{
    private const long Oldest = 13;
    private const long Newest = 24;

    /// <summary>Operators that mean from version 13 to 24 what they meant when they were made. [ONNX, docs/Changelog.md]</summary>
    private static readonly HashSet<string> Unchanged = new(StringComparer.Ordinal)
    {
        "Abs", "Acos", "Acosh", "Add", "And", "ArgMax", "ArgMin", "Asin", "Asinh", "Atan", "Atanh", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr",
        "BitwiseXor", "Cast", "CastLike", "Ceil", "Celu", "Clip", "Compress", "Concat", "Constant", "ConstantOfShape", "Conv", "Cos", "Cosh", "CumSum",
        "DepthToSpace", "DequantizeLinear", "Det", "Div", "Dropout", "DynamicQuantizeLinear", "Einsum", "Elu", "Equal", "Erf", "Exp", "Expand", "EyeLike",
        "Flatten", "Floor", "Gather", "GatherElements", "GatherND", "Gelu", "Gemm", "GlobalAveragePool", "GlobalMaxPool", "Greater", "GreaterOrEqual",
        "HardSigmoid", "HardSwish", "Hardmax", "Identity", "If", "InstanceNormalization", "IsInf", "IsNaN", "LayerNormalization", "LeakyRelu", "Less",
        "LessOrEqual", "Log", "LogSoftmax", "Loop", "MatMul", "MatMulInteger", "Max", "MaxPool", "Mean", "MeanVarianceNormalization", "Min", "Mish", "Mod",
        "Mul", "Multinomial", "Neg", "NegativeLogLikelihoodLoss", "NonZero", "Not", "OneHot", "Or", "PRelu", "Pad", "Pow", "QLinearMatMul", "QuantizeLinear",
        "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Range", "Reciprocal", "ReduceSum", "Relu", "Reshape", "Round", "Scan",
        "ScatterElements", "ScatterND", "Selu", "Shape", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Size", "Slice", "Softmax", "SoftmaxCrossEntropyLoss",
        "Softplus", "Softsign", "SpaceToDepth", "Sqrt", "Squeeze", "Sub", "Sum", "Tan", "Tanh", "ThresholdedRelu", "Tile", "TopK", "Transpose", "Trilu",
        "Unique", "Unsqueeze", "Where", "Xor",
        "RMSNormalization", "RotaryEmbedding", "Attention", "Swish", "TensorScatter", // made at 23 and 24
    };

    /// <summary>Operators whose definition changed, with the version and what keeps their meaning; null where nothing does.</summary>
    private static readonly Dictionary<string, (long Since, Action<Node, Graph>? Adapt)> Changed = new(StringComparer.Ordinal)
    {
        ["ReduceL1"] = (18, AxesToInput),
        ["ReduceL2"] = (18, AxesToInput),
        ["ReduceLogSum"] = (18, AxesToInput),
        ["ReduceLogSumExp"] = (18, AxesToInput),
        ["ReduceMax"] = (18, AxesToInput),
        ["ReduceMean"] = (18, AxesToInput),
        ["ReduceMin"] = (18, AxesToInput),
        ["ReduceProd"] = (18, AxesToInput),
        ["ReduceSumSquare"] = (18, AxesToInput),
        ["Split"] = (18, CountOutputs),
        ["BatchNormalization"] = (14, null), // training is an attribute, no longer the number of outputs
        ["RoiAlign"] = (16, null),           // coordinates are shifted by half a pixel
        ["Resize"] = (19, null),             // attributes joined twice
        ["DFT"] = (20, null),                // axis is an input, counted from another end
        ["GridSample"] = (20, null),         // modes have other names
        ["GroupNormalization"] = (21, null), // scale and bias are per channel, no longer per group
    };

    public string Name => "upgrade-opset";

    public ValueEffect Effect => new ValueEffect.Exact();

    public void Requires(Model model)
    {
        if (To is < Oldest or > Newest)
            throw new PassException(Name, "option 'to'", $"{Oldest} to {Newest}", $"{To}",
                "Versions outside this range have not been checked operator by operator.");
        if (model.Opset < Oldest)
            throw new PassException(Name, "the model", $"opset {Oldest} or later", $"{model.Opset}", "Export it again with a later opset.");
    }

    public PassResult Run(Model model, PassContext context)
    {
        var target = Math.Max(To, model.Opset);
        var rewrites = Upgrade(model.Graph, model.Opsets, target, context);
        foreach (var function in model.Functions)
            rewrites += Upgrade(function.Body, function.Opsets, target, context);
        var irVersion = target switch { >= 24 => 12, 23 => 11, _ => 10 };
        if (model.IrVersion < irVersion)
        {
            model.IrVersion = irVersion;
            rewrites++;
        }
        return new PassResult(rewrites);
    }

    public void Ensures(Model model)
    {
        if (model.Opset < To)
            throw new PassException(Name, "the model", $"opset {To}", $"{model.Opset}", "This is a defect; please report it.");
    }

    private int Upgrade(Graph graph, SortedDictionary<string, long> opsets, long target, PassContext context)
    {
        if (!opsets.TryGetValue("", out var from) || from >= target)
            return 0;
        foreach (var inner in Graphs.WithSubgraphs(graph))
        {
            foreach (var node in inner.Nodes.Where(n => n.IsStandard).ToList())
                Adapt(node, inner, from, target, context);
        }
        opsets[""] = target;
        return 1;
    }

    private void Adapt(Node node, Graph graph, long from, long target, PassContext context)
    {
        if (Unchanged.Contains(node.OpType))
            return;
        if (!Changed.TryGetValue(node.OpType, out var change))
        {
            throw new PassException(Name, node, "", $"an operator known to mean the same at opset {target} as at {from}", node.OpType,
                "Export the model at the later opset, or add the operator to the table.");
        }
        if (from >= change.Since || target < change.Since)
            return;
        if (change.Adapt is null)
        {
            throw new PassException(Name, node, "", $"an operator that opset {change.Since} did not redefine", node.OpType,
                "Export the model at the later opset, or add an adapter.");
        }
        context.Step(node, $"adapt to opset {change.Since}");
        change.Adapt(node, graph);
    }

    /// <summary>Attribute <c>axes</c> becomes input 1; absent, it means all axes before and after.</summary>
    private static void AxesToInput(Node node, Graph graph)
    {
        if (!node.Attributes.Remove("axes", out var axes))
            return;
        // A Constant node, for a function's body has no initializers; fold-constants makes one of it in the graph.
        var constant = axes.ReferenceTo is { } reference
            ? Attribute.Reference("value_ints", AttributeKind.Ints, reference)
            : Attribute.Of("value_ints", axes.Ints);
        var name = graph.FreeName($"{NameOf(node)}/axes");
        var value = new Value(name, ElementType.Int64, axes.ReferenceTo is null ? Shape.Of(axes.Ints.Count) : null);
        graph.InsertBefore(node, new Node("Constant", [], [value], name: Graphs.FreeNodeName(graph, name)).With(constant));
        node.AddInput(value);
    }

    /// <summary>Equal parts are asked for by attribute <c>num_outputs</c>.</summary>
    private static void CountOutputs(Node node, Graph graph)
    {
        if (node.Input(1) is null)
            node.With(Attribute.Of("num_outputs", node.Outputs.Count));
    }

    private static string NameOf(Node node) => node.Name.Length > 0 ? node.Name : node.Output.Name;
}
