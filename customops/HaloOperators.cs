using Halo.Building;
using Halo.Ir;
using Halo.Operators;

namespace Halo.CustomOps;

/// <summary>All operators of the domain, found by type: adding one touches only its folder.</summary>
public static class HaloOperators
{
    public static IReadOnlyList<HaloOperator> All { get; } =
    [
        .. typeof(HaloOperator).Assembly.GetTypes()
            .Where(type => type.IsSubclassOf(typeof(HaloOperator)) && !type.IsAbstract)
            .Select(type => (HaloOperator)Activator.CreateInstance(type)!)
            .OrderBy(op => op.OpType, StringComparer.Ordinal),
    ];

    /// <summary>The operators of ONNX and these: what a model that may call them is made with.</summary>
    public static OperatorCatalogue Catalogue { get; } = OperatorCatalogue.Standard.With(All.Select(op => op.Facts));

    /// <summary>Gives the model of <paramref name="node"/> what it needs to run anywhere: the function it calls, the domain, the IR version.</summary>
    /// <exception cref="HaloException">The model's opset is older than function bodies need.</exception>
    /// <exception cref="InvalidOperationException">The node stands in no graph of a model.</exception>
    public static void EnsureFunction(Node node)
    {
        var model = (node.Graph ?? throw new InvalidOperationException($"{node} stands in no graph")).Model;
        if (model.Opset < HaloDomain.MinOpset)
        {
            throw new HaloException("ensure-function", node.ToString(), $"a model of opset {HaloDomain.MinOpset} or later", $"opset {model.Opset}",
                "Upgrade the model first: function bodies are read at the model's opset.");
        }
        model.Opsets[HaloDomain.Name] = HaloDomain.Version;
        model.IrVersion = Math.Max(model.IrVersion, HaloDomain.MinIrVersion);
        if (model.HasFunction((HaloDomain.Name, node.OpType, node.Overload)))
            return;
        var op = All.FirstOrDefault(op => op.OpType == node.OpType) ?? throw new HaloException("ensure-function", node.ToString(),
            $"an operator of {HaloDomain.Name} ({string.Join(", ", All.Select(op => op.OpType))})", node.OpType,
            "Remove the node, or use a version of Halo that knows it.");
        if (!op.HasBody(node))
            return;
        var body = op.Body(node);
        model.AddFunction(new Function(HaloDomain.Name, node.OpType, node.Overload, body.Graph)
        {
            AttributeNames = body.AttributeNames,
            AttributeDefaults = body.AttributeDefaults,
            Opsets = new(StringComparer.Ordinal) { [""] = model.Opset },
        });
    }

    /// <summary>The overload of an operator that has one for each floating type: "" for float32, else the name of the type of <paramref name="x"/>.</summary>
    /// <exception cref="HaloException">The type is none that the operators compute with.</exception>
    internal static string OverloadOf(string op, Value x)
    {
        RequireFloat(op, x);
        return x.Type == ElementType.Float ? "" : x.Type.Name();
    }

    /// <summary>Throws unless <paramref name="x"/> is of a type that the operators compute with.</summary>
    /// <exception cref="HaloException">The type is none of float, float16 and bfloat16.</exception>
    internal static void RequireFloat(string op, Value x)
    {
        if (!IsComputed(x.Type))
        {
            throw new HaloException(op, $"'{x.Name}'", "float, float16 or bfloat16", x.Type.Name(),
                "Infer shapes before the node is made, or cast the value.");
        }
    }

    /// <summary>Types that the operators compute with, in float32.</summary>
    internal static bool IsComputed(ElementType type) => type is ElementType.Float or ElementType.Float16 or ElementType.BFloat16;

    /// <summary>Whether <paramref name="node"/> gives the maxima of magnitudes of what it computes, for a Quantize to read.</summary>
    public static bool GivesAbsoluteMax(Node node) => node.Int("absmax", 0) != 0;

    /// <summary>The overload of a node that may have more than others of its operator: its type, whether it adds, gives a maximum, reads codes.</summary>
    public static string OverloadOf(Node node, bool adds = false)
    {
        var type = node.Inputs[0]!.Type;
        var readsCodes = node.Inputs.Any(x => x?.Type == ElementType.Int8);
        return string.Join('_', ((string[])[type == ElementType.Float ? "" : type.Name(), adds && !readsCodes ? "added" : "",
            GivesAbsoluteMax(node) ? "absmax" : "", node.Int("again", 0) != 0 ? "again" : "", readsCodes ? "codes" : ""]).Where(part => part.Length > 0));
    }

    /// <summary>The operator that <paramref name="node"/> calls, or null.</summary>
    public static HaloOperator? Of(Node node) => node.Domain == HaloDomain.Name ? All.FirstOrDefault(op => op.OpType == node.OpType) : null;

    /// <summary>Makes a node that computes what <paramref name="node"/> does, and gives the largest magnitudes of its first outputs behind the others.</summary>
    public static Node WithMaxima(GraphBuilder build, Node node, string name)
    {
        var op = Of(node) ?? throw new HaloException("maxima", node.ToString(), $"an operator of {HaloDomain.Name}", node.OpType,
            "Quantize without a given maximum.");
        var made = build.Node(name, $"{node.Domain}.{node.OpType}", [.. node.Inputs], node.Outputs.Count + op.Maxima, "",
            [.. node.Attributes.Values, Attribute.Of("absmax", 1L)]);
        made.Overload = op.OverloadWithMaxima(made);
        EnsureFunction(made);
        return made;
    }

    /// <summary>Makes a call of one of the operators, with its function.</summary>
    internal static Node Call(
        GraphBuilder build, string name, string opType, ReadOnlySpan<Value?> inputs, int outputCount, string overload,
        params ReadOnlySpan<Attribute> attributes)
    {
        var node = build.Node(name, $"{HaloDomain.Name}.{opType}", inputs, outputCount, overload, attributes);
        EnsureFunction(node);
        return node;
    }
}
