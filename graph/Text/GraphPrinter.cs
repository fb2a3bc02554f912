using System.Text;
using Halo.Ir;

namespace Halo.Text;

/// <summary>The stable text form of a model: one node a line, in execution order, attributes sorted.</summary>
/// <remarks>
/// <see cref="GraphParser"/> reads it back, except tensors printed as a hash. Documentation strings of nodes and values are left out.
/// A node is named behind <c>#</c>; without a name there it is called like its first output, as <c>GraphBuilder</c> does.
/// </remarks>
public sealed class GraphPrinter
{
    private const int MaxSignatureLength = 140;

    private readonly StringBuilder _text = new();
    private readonly PrintOptions _options;

    private GraphPrinter(PrintOptions? options) => _options = options ?? PrintOptions.Default;

    public static string Print(Model model, PrintOptions? options = null)
    {
        var printer = new GraphPrinter(options);
        printer.Header(model);
        printer.Graph(model.Graph, "");
        printer._text.Append('\n');
        foreach (var function in model.Functions)
            printer.Function(function);
        return printer._text.ToString();
    }

    public static string Print(Graph graph, PrintOptions? options = null)
    {
        var printer = new GraphPrinter(options);
        printer.Graph(graph, "");
        return printer._text.Append('\n').ToString();
    }

    public static string Print(Function function, PrintOptions? options = null)
    {
        var printer = new GraphPrinter(options);
        printer.Function(function);
        return printer._text.ToString();
    }

    /// <summary>One node as its line of text.</summary>
    public static string Print(Node node, PrintOptions? options = null)
    {
        var printer = new GraphPrinter(options);
        printer.Node(node, "");
        return printer._text.ToString();
    }

    /// <summary>The lines around <paramref name="node"/>, which is marked with <c>&gt;</c>: what messages show of a large graph.</summary>
    public static string PrintAround(Node node, int before = 3, int after = 3)
    {
        var printer = new GraphPrinter(PrintOptions.Default with { ReadWeights = false });
        var first = node;
        for (var i = 0; i < before && first.Previous is { } previous; i++)
            first = previous;
        var rest = after;
        for (var at = first; at is not null && rest >= 0; at = at.Next)
        {
            printer.Node(at, at == node ? "> " : "  ");
            printer._text.Append('\n');
            if (at == node || rest < after)
                rest--;
        }
        return printer._text.ToString();
    }

    private void Header(Model model)
    {
        _text.Append($"ir_version: {model.IrVersion}, opset: {Map(model.Opsets.Select(o => (o.Key, o.Value.ToString())))}\n");
        if (model.ProducerName.Length + model.ProducerVersion.Length > 0)
            _text.Append($"producer: {Names.Quote(model.ProducerName)} {Names.Quote(model.ProducerVersion)}\n");
        if (model.Domain.Length > 0 || model.ModelVersion != 0)
            _text.Append($"model: {Names.Quote(model.Domain)} {model.ModelVersion}\n");
        if (model.DocString.Length > 0)
            _text.Append($"doc: {Names.Quote(model.DocString)}\n");
        if (model.Metadata.Count > 0)
            _text.Append($"metadata: {Strings(model.Metadata)}\n");
    }

    private void Graph(Graph graph, string indent)
    {
        var inputs = graph.Inputs.Select(Typed).ToList();
        var outputs = graph.Outputs.Select(Typed).ToList();
        var line = $"graph {Names.Bare(graph.Name)}({string.Join(", ", inputs)}) -> ({string.Join(", ", outputs)}) {{\n";
        if (indent.Length + line.Length > MaxSignatureLength)
            line = $"graph {Names.Bare(graph.Name)}({Lines(inputs, indent)}) -> ({Lines(outputs, indent)}) {{\n";
        _text.Append(line);
        if (graph.Metadata.Count > 0)
            _text.Append($"{indent}  metadata: {Strings(graph.Metadata)}\n");
        Body(graph, indent);
    }

    private void Body(Graph graph, string indent)
    {
        if (graph.Initializers.Count > 0)
        {
            _text.Append($"{indent}  initializers {{\n");
            foreach (var value in graph.Initializers)
                _text.Append($"{indent}    {Names.Bare(value.Name)}: {TypedContent(value.Initializer!, " = ")}\n");
            _text.Append($"{indent}  }}\n");
        }
        foreach (var node in graph.Nodes)
        {
            Node(node, indent + "  ");
            _text.Append('\n');
        }
        _text.Append($"{indent}}}");
    }

    private void Function(Function function)
    {
        _text.Append($"function {Names.Operator(function.Domain, function.Name, function.Overload)}");
        var attributes = function.AttributeNames.Select(Names.Bare).Concat(function.AttributeDefaults.Select(a => Attribute(a, ""))).ToList();
        if (attributes.Count > 0)
            _text.Append($"<{string.Join(", ", attributes)}>");
        _text.Append($"({string.Join(", ", function.Body.Inputs.Select(Typed))}) -> ({string.Join(", ", function.Body.Outputs.Select(Typed))})");
        _text.Append($" opset {Map(function.Opsets.Select(o => (o.Key, o.Value.ToString())))} {{\n");
        if (function.DocString.Length > 0)
            _text.Append($"  doc: {Names.Quote(function.DocString)}\n");
        Body(function.Body, "");
        _text.Append('\n');
    }

    private void Node(Node node, string indent)
    {
        _text.Append(indent).AppendJoin(", ", node.Outputs.Select(o => _options.OutputTypes ? Typed(o) : Names.Bare(o.Name)));
        _text.Append(node.Outputs.Count > 0 ? " = " : "= ").Append(Names.Operator(node.Domain, node.OpType, node.Overload));
        if (node.Attributes.Count > 0)
            _text.Append('<').AppendJoin(", ", node.Attributes.Values.Select(a => Attribute(a, indent))).Append('>');
        _text.Append('(').AppendJoin(", ", node.Inputs.Select(i => i is null ? Names.Absent : Names.Bare(i.Name))).Append(')');
        if (_options.NodeMetadata && node.Metadata.Count > 0)
            _text.Append(" @").Append(Strings(node.Metadata));
        if (node.Outputs.Count == 0 || node.Name != node.Output.Name)
            _text.Append("  # ").Append(IsPlainComment(node.Name) ? node.Name : Names.Quote(node.Name));
    }

    private string Attribute(Attribute attribute, string indent)
    {
        var text = attribute.ReferenceTo is { } reference ? $"{attribute.Kind.ToString().ToLowerInvariant()} @{Names.Bare(reference)}"
            : attribute.Content switch
            {
                long i => i.ToString(),
                float f => Float(f),
                string s => Names.Quote(s),
                Tensor t => TypedContent(t, " "),
                Graph g => Subgraph(g, indent),
                IReadOnlyList<long> ints => List("", ints.Select(i => i.ToString())),
                IReadOnlyList<float> floats => List("floats", floats.Select(Float)),
                IReadOnlyList<string> strings => List("strings", strings.Select(Names.Quote)),
                IReadOnlyList<Tensor> tensors => List("tensors", tensors.Select(t => TypedContent(t, " "))),
                IReadOnlyList<Graph> graphs => List("graphs", graphs.Select(g => Subgraph(g, indent))),
                _ => throw new InvalidOperationException($"attribute '{attribute.Name}' holds {attribute.Content?.GetType().Name ?? "nothing"}"),
            };
        return $"{Names.Bare(attribute.Name)} = {text}";
    }

    private string Subgraph(Graph graph, string indent)
    {
        var printer = new GraphPrinter(_options);
        printer.Graph(graph, indent + "  ");
        return printer._text.ToString();
    }

    private string TypedContent(Tensor tensor, string between) => Names.Type(tensor.Type, tensor.Shape) + between + TensorText.Format(tensor, _options);

    private static string Typed(Value value)
    {
        var type = Names.Type(value.Type, value.Shape);
        return type.Length > 0 ? $"{Names.Bare(value.Name)}: {type}" : Names.Bare(value.Name);
    }

    /// <summary>A float that cannot be taken for an integer.</summary>
    private static string Float(float value)
    {
        var text = ElementText.Format(value);
        return text.AsSpan().ContainsAny(".enai") ? text : text + ".0";
    }

    private static string List(string kind, IEnumerable<string> items)
    {
        var inside = string.Join(", ", items);
        return inside.Length == 0 && kind.Length > 0 ? $"{kind} []" : $"[{inside}]";
    }

    private static string Lines(List<string> items, string indent) =>
        items.Count == 0 ? "" : $"\n{indent}  {string.Join($",\n{indent}  ", items)}\n{indent}";

    private static string Strings(SortedDictionary<string, string> map) => Map(map.Select(m => (m.Key, Names.Quote(m.Value))));

    private static string Map(IEnumerable<(string Key, string Text)> entries) =>
        $"{{{string.Join(", ", entries.Select(e => $"{Names.Quote(e.Key)}: {e.Text}"))}}}";

    private static bool IsPlainComment(string name) => name.Length > 0 && name[0] != '"' && name.Trim() == name && name.All(c => c is >= ' ' and <= '~');
}
