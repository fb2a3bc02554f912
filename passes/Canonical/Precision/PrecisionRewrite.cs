using Halo.Analysis;
using Halo.Building;
using Halo.Ir;
using Halo.Operators;
using Halo.Passes.Infra;

namespace Halo.Passes.Canonical.Precision;

/// <summary>The steps of convert-precision on one graph; <see cref="Count"/> says how much they changed.</summary>
internal sealed class PrecisionRewrite(Graph graph, ElementType target, PassContext context)
{
    private readonly Dictionary<(Value Value, ElementType Type), Value> _converted = [];
    private readonly HashSet<Value> _weights = [];

    public int Count { get; private set; }

    /// <summary>Removes casts between floats that change nothing.</summary>
    public void DropCasts()
    {
        foreach (var node in graph.Nodes.Where(n => n.Is("Cast")).ToList())
        {
            var (from, to) = (node.Inputs[0]!, node.Output);
            if (from.Type != to.Type || !IsFloat(to) || (to.IsGraphOutput && (from.Producer is null || from.IsGraphOutput)))
                continue;
            context.Step(node, "drop");
            to.ReplaceUsesWith(from);
            if (to.IsGraphOutput)
                graph.ReplaceOutput(to, from);
            graph.Remove(node);
            Count++;
        }
    }

    /// <summary>Gives graph inputs (or copies of them, if they are to stay float32), weights, and constants of another 16-bit type the target's type.</summary>
    public void ConvertSources(IReadOnlyList<Value> weights, bool keepsInputs)
    {
        foreach (var value in graph.Initializers.Where(v => weights.Contains(v) || IsOtherNarrow(v.Type)).ToList())
        {
            var heir = value;
            if (value.Type != target)
            {
                heir = graph.AddInitializer(graph.FreeName(value.Name + Replacement.Suffix), ConvertedBytes.Convert(value.Initializer!, target));
                Replacement.OfInitializer(graph, value, heir);
                Count++;
            }
            if (weights.Contains(value))
                _weights.Add(heir);
        }
        foreach (var input in graph.Inputs.Where(v => IsFloat(v) && v.Initializer is null))
        {
            var type = keepsInputs ? ElementType.Float : target;
            Count += input.Type == type ? 0 : 1;
            input.Type = type;
            _weights.Add(type == target ? input : Copy(input));
        }
    }

    /// <summary>The one cast of a float32 input that all its readers share.</summary>
    private Value Copy(Value input)
    {
        if (input.Uses.Select(u => u.Node).FirstOrDefault(n => n.Is("Cast") && n.Output.Type == target) is { } present)
            return present.Output;
        var readers = input.Uses.ToList();
        var copy = As(input, target);
        foreach (var use in readers)
            use.Node.ReplaceInput(use.Index, copy);
        Count++;
        return copy;
    }

    /// <summary>Goes through the nodes in order: operands get the type their operator computes in, results follow.</summary>
    public void ConvertNodes()
    {
        var dependent = new HashSet<Value>(_weights);
        foreach (var node in graph.Nodes.ToList())
        {
            ConvertAttributes(node);
            var isDependent = node.Inputs.Any(v => v is not null && dependent.Contains(v));
            if (isDependent)
                dependent.UnionWith(node.Outputs);
            if (target != ElementType.Float && isDependent && node.Facts.Precision != PrecisionClass.Boundary)
                ConvertOperands(node);
            SetTypes(node);
        }
        foreach (var constant in graph.Nodes.Where(n => n.Is("Constant") && n.Output is { Uses.Count: 0, IsGraphOutput: false }).ToList())
            graph.Remove(constant);
    }

    /// <summary>Loss and logits are float32, and all outputs are where parameters are; else other float outputs have the target's type.</summary>
    public void ConvertOutputs(bool keepsInputs)
    {
        foreach (var output in graph.Outputs.Where(IsFloat).ToList())
        {
            var wanted = keepsInputs || output.Name is TrainingNames.Loss or TrainingNames.Logits ? ElementType.Float : target;
            if (output.Type == wanted)
                continue;
            var build = GraphBuilder.AfterDefinition(graph, output, $"{output.Name}/{wanted.Name()}");
            graph.ReplaceOutput(output, build.Op("", "Cast", [output], Attribute.Of("to", (long)wanted)));
            Count++;
        }
    }

    private void ConvertOperands(Node node)
    {
        var floats = Enumerable.Range(0, node.Inputs.Count).Where(i => node.Inputs[i] is { } v && IsFloat(v)).ToList();
        if (floats.Any(i => node.Inputs[i]!.Type == ElementType.Double))
            return;
        var isWide = node.Facts.Precision switch
        {
            PrecisionClass.Narrow => false,
            PrecisionClass.Wide => true,
            _ => floats.Any(i => !IsScalarConstant(node.Inputs[i]!) && node.Inputs[i]!.Type == ElementType.Float),
        };
        var type = isWide ? ElementType.Float : target;
        foreach (var i in floats.Where(i => node.Inputs[i]!.Type != type))
        {
            context.Step(node, $"take input {i} as {type.Name()}");
            var old = node.Inputs[i]!;
            node.ReplaceInput(i, As(old, type));
            if (old is { Initializer: not null, Uses.Count: 0, IsGraphInput: false, IsGraphOutput: false })
                graph.RemoveInitializer(old);
            Count++;
        }
    }

    /// <summary>The value in another type: a constant anew, anything else through one cast that all readers share.</summary>
    private Value As(Value value, ElementType type)
    {
        if (_converted.TryGetValue((value, type), out var known))
            return known;
        var name = $"{value.Name}/{type.Name()}";
        return _converted[(value, type)] = value.Constant is { } tensor && (tensor.ElementCount == 1 || value.Initializer is not null)
            ? graph.AddInitializer(graph.FreeName(name), ConvertedBytes.Convert(tensor, type))
            : GraphBuilder.AfterDefinition(graph, value, name).Op("", "Cast", [value], Attribute.Of("to", (long)type));
    }

    private void ConvertAttributes(Node node)
    {
        foreach (var attribute in node.Attributes.Values.ToList())
        {
            var changed = attribute switch
            {
                { Name: "to" or "dtype" or "stash_type", Content: long to } when IsOtherNarrow((ElementType)to) => Attribute.Of(attribute.Name, (long)target),
                { Content: Tensor tensor } when IsOtherNarrow(tensor.Type) => Attribute.Of(attribute.Name, ConvertedBytes.Convert(tensor, target)),
                _ => null,
            };
            if (changed is null)
                continue;
            node.With(changed);
            Count++;
        }
    }

    /// <summary>Results have the type of the operands, where the operator's rule does not say another.</summary>
    private static void SetTypes(Node node)
    {
        var operand = node.Facts.Precision == PrecisionClass.Boundary ? ElementType.Undefined
            : node.Inputs.FirstOrDefault(v => v is not null && IsFloat(v))?.Type ?? ElementType.Undefined;
        foreach (var output in node.Outputs.Where(o => IsFloat(o) && operand != ElementType.Undefined))
            output.Type = operand;
        ShapeInference.Infer(node);
    }

    /// <summary>A 16-bit float that the graph shall not have.</summary>
    private bool IsOtherNarrow(ElementType type) => type is ElementType.Float16 or ElementType.BFloat16 && type != target;

    private static bool IsFloat(Value value) => value.Type.IsFloat() && value.Type != ElementType.Double;

    private static bool IsScalarConstant(Value value) => value.Constant?.ElementCount == 1;
}
