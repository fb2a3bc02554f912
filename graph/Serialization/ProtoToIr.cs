using System.Text;
using Google.Protobuf;
using Google.Protobuf.Collections;
using Halo.Ir;
using Halo.Operators;
using Halo.Serialization.Proto;

namespace Halo.Serialization;

/// <summary>Protobuf messages to the IR: names become references.</summary>
internal sealed class ProtoToIr(string path, TensorReader tensors, OperatorCatalogue operators)
{
    private static readonly UTF8Encoding StrictUtf8 = new(false, throwOnInvalidBytes: true);

    public Model Model(ModelProto proto, GraphProto graph, IReadOnlyList<(string Name, Tensor Tensor)> initializers)
    {
        var model = new Model(Graph(graph, initializers, null), operators)
        {
            IrVersion = proto.IrVersion,
            ProducerName = proto.ProducerName,
            ProducerVersion = proto.ProducerVersion,
            Domain = proto.Domain,
            ModelVersion = proto.ModelVersion,
            DocString = proto.DocString,
        };
        foreach (var opset in proto.OpsetImport)
            model.Opsets[OnnxDomain.Normalized(opset.Domain)] = opset.Version;
        Copy(proto.MetadataProps, model.Metadata);
        foreach (var function in proto.Functions)
            model.AddFunction(Function(function));
        return model;
    }

    private Graph Graph(GraphProto proto, IReadOnlyList<(string Name, Tensor Tensor)> initializers, Graph? outer)
    {
        if (proto.SparseInitializer.Count > 0)
            throw Unsupported("dense initializers", $"a sparse one in graph '{proto.Name}'");
        if (proto.QuantizationAnnotation.Count > 0)
            throw Unsupported("no quantization annotations", $"some in graph '{proto.Name}'");
        var graph = new Graph(proto.Name, outer) { DocString = proto.DocString };
        Copy(proto.MetadataProps, graph.Metadata);
        foreach (var input in proto.Input)
            Annotate(graph.AddInput(new Value(input.Name)), input);
        foreach (var (name, tensor) in initializers)
        {
            if (graph.TryGetValue(name, out var input))
            {
                if (input.Initializer is not null)
                    throw Damaged($"initializer '{name}' once", "twice");
                graph.MakeInitializer(input, tensor);
            }
            else
            {
                graph.AddInitializer(name, tensor);
            }
        }
        Nodes(graph, proto.Node);
        foreach (var output in proto.Output)
        {
            var value = Resolve(graph, output.Name) ?? throw Damaged($"a definition of graph output '{output.Name}'", "none");
            Annotate(value, output);
            graph.AddOutput(value);
        }
        foreach (var info in proto.ValueInfo)
        {
            if (graph.TryGetValue(info.Name, out var value))
                Annotate(value, info);
        }
        return graph;
    }

    /// <summary>Nodes come in execution order, so every name is defined before it is read.</summary>
    private void Nodes(Graph graph, RepeatedField<NodeProto> nodes)
    {
        foreach (var proto in nodes)
        {
            if (proto.DeviceConfigurations.Count > 0)
                throw Unsupported("a model for one device", $"a device configuration on node '{proto.Name}'");
            var inputs = proto.Input.Select(name => name.Length == 0 ? null
                : Resolve(graph, name) ?? throw Damaged($"input '{name}' of node '{proto.Name}' ({proto.OpType}) to be defined before it", "no definition"));
            var outputs = proto.Output.Select(name => !graph.TryGetValue(name, out _) || name.Length == 0
                ? new Value(name.Length == 0 ? graph.FreeName($"{proto.Name}/unused") : name)
                : throw Damaged($"value '{name}' to be defined once", $"a second definition by node '{proto.Name}' ({proto.OpType})"));
            var node = new Node(proto.OpType, inputs, outputs, proto.Domain, proto.Name)
            {
                Overload = proto.Overload,
                DocString = proto.DocString,
            };
            if (node.Outputs.Count == 0)
                throw Damaged($"an output of node '{proto.Name}' ({proto.OpType})", "none");
            Copy(proto.MetadataProps, node.Metadata);
            foreach (var attribute in proto.Attribute)
                node.Attributes[attribute.Name] = Attribute(attribute, graph);
            if (node.Outputs.Select(o => o.Name).Distinct().Count() != node.Outputs.Count)
                throw Damaged($"different outputs of node '{proto.Name}' ({proto.OpType})", "the same name twice");
            graph.Append(node);
        }
    }

    private Function Function(FunctionProto proto)
    {
        var body = new Graph(proto.Name);
        foreach (var input in proto.Input)
            body.AddInput(new Value(input));
        Nodes(body, proto.Node);
        foreach (var output in proto.Output)
            body.AddOutput(Resolve(body, output) ?? throw Damaged($"a definition of output '{output}' of function '{proto.Name}'", "none"));
        var function = new Function(OnnxDomain.Normalized(proto.Domain), proto.Name, proto.Overload, body)
        {
            AttributeNames = [.. proto.Attribute],
            AttributeDefaults = [.. proto.AttributeProto.Select(a => Attribute(a, body))],
            DocString = proto.DocString,
        };
        foreach (var opset in proto.OpsetImport)
            function.Opsets[OnnxDomain.Normalized(opset.Domain)] = opset.Version;
        return function;
    }

    private Attribute Attribute(AttributeProto proto, Graph graph)
    {
        if (proto.Type is < AttributeProto.Types.AttributeType.Float or > AttributeProto.Types.AttributeType.Graphs)
            throw Unsupported($"a common kind for attribute '{proto.Name}'", proto.Type.ToString());
        var kind = (AttributeKind)proto.Type;
        if (proto.RefAttrName.Length > 0)
            return Ir.Attribute.Reference(proto.Name, kind, proto.RefAttrName);
        return new Attribute(proto.Name, kind, kind switch
        {
            AttributeKind.Float => proto.F,
            AttributeKind.Int => proto.I,
            AttributeKind.String => Text(proto.S),
            AttributeKind.Tensor => tensors.Read(proto.T),
            AttributeKind.Graph => Subgraph(proto.G),
            AttributeKind.Floats => proto.Floats.ToArray(),
            AttributeKind.Ints => proto.Ints.ToArray(),
            AttributeKind.Strings => proto.Strings.Select(Text).ToArray(),
            AttributeKind.Tensors => proto.Tensors.Select(tensors.Read).ToArray(),
            _ => proto.Graphs.Select(Subgraph).ToArray(),
        });

        Graph Subgraph(GraphProto g) => Graph(g, [.. g.Initializer.Select(t => (t.Name, tensors.Read(t)))], graph);

        string Text(ByteString bytes)
        {
            try { return StrictUtf8.GetString(bytes.Span); }
            catch (DecoderFallbackException) { throw Unsupported($"text in attribute '{proto.Name}'", "bytes that are not UTF-8"); }
        }
    }

    private void Annotate(Value value, ValueInfoProto info)
    {
        Copy(info.MetadataProps, value.Metadata);
        if (info.Type is null || info.Type.ValueCase == TypeProto.ValueOneofCase.None)
            return;
        if (info.Type.ValueCase != TypeProto.ValueOneofCase.TensorType)
            throw Unsupported($"a tensor as '{info.Name}'", info.Type.ValueCase.ToString());
        var tensor = info.Type.TensorType;
        if (value.Initializer is { } initializer && (int)initializer.Type != tensor.ElemType)
            throw Damaged($"'{info.Name}' to be {((ElementType)tensor.ElemType).Name()} as declared", $"an initializer of {initializer.Type.Name()}");
        value.Type = (ElementType)tensor.ElemType;
        if (tensor.Shape is { } shape)
            value.Shape = new Shape(shape.Dim.Select(Dimension));
    }

    private static Dim Dimension(TensorShapeProto.Types.Dimension d) => d.ValueCase switch
    {
        TensorShapeProto.Types.Dimension.ValueOneofCase.DimValue when d.DimValue >= 0 => Dim.Of(d.DimValue),
        TensorShapeProto.Types.Dimension.ValueOneofCase.DimParam when d.DimParam.Length > 0 => Dim.Named(d.DimParam),
        _ => Dim.Unknown,
    };

    private static Value? Resolve(Graph? graph, string name)
    {
        for (; graph is not null; graph = graph.Outer)
        {
            if (graph.TryGetValue(name, out var value))
                return value;
        }
        return null;
    }

    private static void Copy(RepeatedField<StringStringEntryProto> from, SortedDictionary<string, string> to)
    {
        foreach (var entry in from)
            to[entry.Key] = entry.Value;
    }

    private HaloException Damaged(string expected, string found) => new("read-onnx", path, expected, found, "The file is damaged; export it again.");

    private HaloException Unsupported(string expected, string found) =>
        new("read-onnx", path, expected, found, "Halo does not carry this through a rewrite; export without it.");
}
