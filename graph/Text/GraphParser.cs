using Halo.Ir;
using Halo.Operators;

namespace Halo.Text;

/// <summary>Reads what <see cref="GraphPrinter"/> prints, and what people write by hand in the same form.</summary>
/// <remarks>Types may be left out; nothing is inferred here. A comma between initializers is optional, a line of its own behind # is a comment.</remarks>
public sealed partial class GraphParser
{
    private readonly TextScanner _scan;

    private GraphParser(string text) => _scan = new TextScanner(text);

    /// <exception cref="HaloException">The text is not in the form, with the line in the message.</exception>
    public static Model Parse(string text, OperatorCatalogue operators)
    {
        var parser = new GraphParser(text);
        return parser.Model(operators);
    }

    private Model Model(OperatorCatalogue operators)
    {
        var header = new Model(new Graph(), operators);
        while (!_scan.IsNext("graph"))
            HeaderField(header);
        _scan.Take("graph");
        var model = new Model(Graph(null), operators)
        {
            IrVersion = header.IrVersion,
            ProducerName = header.ProducerName,
            ProducerVersion = header.ProducerVersion,
            Domain = header.Domain,
            ModelVersion = header.ModelVersion,
            DocString = header.DocString,
        };
        foreach (var (domain, version) in header.Opsets)
            model.Opsets[OnnxDomain.Normalized(domain)] = version;
        foreach (var (key, value) in header.Metadata)
            model.Metadata[key] = value;
        while (!_scan.AtEnd)
            model.AddFunction(Function());
        return model;
    }

    private void HeaderField(Model model)
    {
        if (_scan.TryTake("ir_version:"))
            model.IrVersion = _scan.Integer();
        else if (_scan.TryTake("opset:"))
            Map(_scan.Integer, model.Opsets);
        else if (_scan.TryTake("producer:"))
            (model.ProducerName, model.ProducerVersion) = (_scan.String(), _scan.String());
        else if (_scan.TryTake("model:"))
            (model.Domain, model.ModelVersion) = (_scan.String(), _scan.Integer());
        else if (_scan.TryTake("doc:"))
            model.DocString = _scan.String();
        else if (_scan.TryTake("metadata:"))
            Map(_scan.String, model.Metadata);
        else
            throw _scan.Error("ir_version:, opset:, producer:, model:, doc:, metadata: or graph");
        _scan.TryTake(",");
    }

    private Graph Graph(Graph? outer)
    {
        var graph = new Graph(_scan.Name(), outer);
        foreach (var input in Values())
            Define(() => graph.AddInput(input));
        _scan.Take("->");
        var outputs = Values();
        _scan.Take("{");
        if (_scan.TryTake("metadata:"))
            Map(_scan.String, graph.Metadata);
        Body(graph, outputs);
        return graph;
    }

    private Function Function()
    {
        _scan.Take("function");
        var (domain, name, overload) = Operator();
        var body = new Graph(name);
        var required = new List<string>();
        var defaults = new List<Attribute>();
        if (_scan.TryTake("<"))
        {
            List(">", () =>
            {
                var attribute = _scan.Name();
                if (_scan.TryTake("="))
                    defaults.Add(Attribute(attribute, body));
                else
                    required.Add(attribute);
            });
        }
        foreach (var input in Values())
            Define(() => body.AddInput(input));
        _scan.Take("->");
        var outputs = Values();
        var opsets = new SortedDictionary<string, long>(StringComparer.Ordinal);
        _scan.Take("opset");
        Map(_scan.Integer, opsets);
        _scan.Take("{");
        var doc = _scan.TryTake("doc:") ? _scan.String() : "";
        Body(body, outputs);
        return new Function(domain, name, overload, body) { AttributeNames = required, AttributeDefaults = defaults, Opsets = opsets, DocString = doc };
    }

    /// <summary>Initializers and nodes up to the closing brace; then the outputs are found by name.</summary>
    private void Body(Graph graph, List<Value> outputs)
    {
        if (_scan.TryTake("initializers"))
        {
            _scan.Take("{");
            while (!_scan.TryTake("}"))
            {
                Initializer(graph);
                _scan.TryTake(",");
            }
        }
        while (!_scan.TryTake("}"))
            Node(graph);
        foreach (var declared in outputs)
        {
            var value = Find(graph, declared.Name);
            if (value.Type == ElementType.Undefined)
                value.Type = declared.Type;
            value.Shape ??= declared.Shape;
            graph.AddOutput(value);
        }
    }

    private void Initializer(Graph graph)
    {
        var name = _scan.Name();
        _scan.Take(":");
        var (type, shape) = Type();
        _scan.Take("=");
        var tensor = Tensor(type, shape);
        if (graph.TryGetValue(name, out var input) && input.IsGraphInput)
            graph.MakeInitializer(input, tensor);
        else
            Define(() => graph.AddInitializer(name, tensor));
    }

    private void Node(Graph graph)
    {
        var outputs = new List<Value>();
        while (!_scan.TryTake("="))
        {
            outputs.Add(Value());
            _scan.TryTake(",");
        }
        var (domain, opType, overload) = Operator();
        var node = new Node(opType, [], outputs, domain) { Overload = overload };
        if (_scan.TryTake("<"))
        {
            List(">", () =>
            {
                var name = _scan.Name();
                _scan.Take("=");
                node.With(Attribute(name, graph));
            });
        }
        _scan.Take("(");
        List(")", () => node.AddInput(Input(graph)));
        if (_scan.IsNextOnLine('@') && _scan.TryTake("@"))
            Map(_scan.String, node.Metadata);
        node.Name = _scan.Comment() ?? (outputs.Count > 0 ? outputs[0].Name : "");
        Define(() => graph.Append(node));
    }

    private (string Domain, string OpType, string Overload) Operator()
    {
        var isQuoted = _scan.Peek() == '"';
        var name = _scan.Name();
        var domain = "";
        if (isQuoted ? _scan.TryTake(".") : name.EndsWith('.'))
            (domain, name) = (isQuoted ? name : name[..^1], _scan.Name());
        else if (!isQuoted && name.LastIndexOf('.') is var dot and > 0)
            (domain, name) = (name[..dot], name[(dot + 1)..]);
        return (OnnxDomain.Normalized(domain), name, _scan.TryTake(":") ? _scan.Name() : "");
    }

    private List<Value> Values()
    {
        var values = new List<Value>();
        _scan.Take("(");
        List(")", () => values.Add(Value()));
        return values;
    }

    private Value Value()
    {
        var value = new Value(_scan.Name());
        if (_scan.TryTake(":"))
            (value.Type, value.Shape) = Type();
        return value;
    }

    private Value? Input(Graph graph)
    {
        if (_scan.Peek() == '"')
            return Find(graph, _scan.String());
        var name = _scan.Name();
        return name == Names.Absent ? null : Find(graph, name);
    }

    private Value Find(Graph graph, string name)
    {
        for (var at = graph; at is not null; at = at.Outer)
        {
            if (at.TryGetValue(name, out var value))
                return value;
        }
        throw _scan.Error($"a definition of '{name}' before this");
    }

    private void Define(Action add)
    {
        try
        {
            add();
        }
        catch (InvalidOperationException e) // the graph refuses a second definition of a name
        {
            throw _scan.Error($"a new name before this ({e.Message})");
        }
    }

    private void List(string end, Action item)
    {
        while (!_scan.TryTake(end))
        {
            item();
            if (!_scan.IsNext(end))
                _scan.Take(",");
        }
    }

    private void Map<T>(Func<T> value, SortedDictionary<string, T> into)
    {
        _scan.Take("{");
        List("}", () =>
        {
            var key = _scan.String();
            _scan.Take(":");
            into[key] = value();
        });
    }
}
