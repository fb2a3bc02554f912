using Google.Protobuf;
using Google.Protobuf.Collections;
using Halo.Ir;
using Halo.Serialization.Proto;

namespace Halo.Serialization;

/// <summary>The IR to protobuf messages. Initializers of the main graph are left out: the writer streams them.</summary>
internal static class IrToProto
{
    public static ModelProto Model(Model model)
    {
        var proto = new ModelProto { IrVersion = model.IrVersion };
        if (model.ProducerName.Length > 0) proto.ProducerName = model.ProducerName;
        if (model.ProducerVersion.Length > 0) proto.ProducerVersion = model.ProducerVersion;
        if (model.Domain.Length > 0) proto.Domain = model.Domain;
        if (model.ModelVersion != 0) proto.ModelVersion = model.ModelVersion;
        if (model.DocString.Length > 0) proto.DocString = model.DocString;
        proto.OpsetImport.AddRange(Opsets(model.Opsets));
        Copy(model.Metadata, proto.MetadataProps);
        proto.Functions.AddRange(model.Functions.Select(Function));
        return proto;
    }

    public static GraphProto Graph(Graph graph, bool withInitializers)
    {
        var proto = new GraphProto { Name = graph.Name };
        if (graph.DocString.Length > 0) proto.DocString = graph.DocString;
        proto.Node.AddRange(graph.Nodes.Select(Node));
        proto.Input.AddRange(graph.Inputs.Select(Info));
        proto.Output.AddRange(graph.Outputs.Select(Info));
        foreach (var output in graph.Nodes.SelectMany(n => n.Outputs))
        {
            if (!output.IsGraphOutput && (output.Type != ElementType.Undefined || output.Metadata.Count > 0))
                proto.ValueInfo.Add(Info(output));
        }
        if (withInitializers)
            proto.Initializer.AddRange(graph.Initializers.Select(v => Tensor(v.Name, v.Initializer!)));
        Copy(graph.Metadata, proto.MetadataProps);
        return proto;
    }

    /// <summary>The message of a tensor without its content.</summary>
    public static TensorProto TensorHeader(string name, Tensor tensor)
    {
        var proto = new TensorProto { DataType = (int)tensor.Type };
        proto.Dims.AddRange(tensor.Sizes);
        if (name.Length > 0) proto.Name = name;
        if (tensor.Strings is { } strings)
            proto.StringData.AddRange(strings.Select(s => ByteString.CopyFrom(s)));
        return proto;
    }

    private static TensorProto Tensor(string name, Tensor tensor)
    {
        var proto = TensorHeader(name, tensor);
        if (tensor.Strings is null)
            proto.RawData = UnsafeByteOperations.UnsafeWrap(tensor.ToBytes());
        return proto;
    }

    private static NodeProto Node(Node node)
    {
        var proto = new NodeProto { OpType = node.OpType };
        if (node.Name.Length > 0) proto.Name = node.Name;
        if (node.Domain.Length > 0) proto.Domain = node.Domain;
        if (node.Overload.Length > 0) proto.Overload = node.Overload;
        if (node.DocString.Length > 0) proto.DocString = node.DocString;
        proto.Input.AddRange(node.Inputs.Select(v => v?.Name ?? ""));
        proto.Output.AddRange(node.Outputs.Select(v => v.Name));
        proto.Attribute.AddRange(node.Attributes.Values.Select(Attribute));
        Copy(node.Metadata, proto.MetadataProps);
        return proto;
    }

    private static FunctionProto Function(Function function)
    {
        var proto = new FunctionProto { Name = function.Name, Domain = function.Domain };
        if (function.Overload.Length > 0) proto.Overload = function.Overload;
        if (function.DocString.Length > 0) proto.DocString = function.DocString;
        proto.Input.AddRange(function.Body.Inputs.Select(v => v.Name));
        proto.Output.AddRange(function.Body.Outputs.Select(v => v.Name));
        proto.Attribute.AddRange(function.AttributeNames);
        proto.AttributeProto.AddRange(function.AttributeDefaults.Select(Attribute));
        proto.Node.AddRange(function.Body.Nodes.Select(Node));
        proto.OpsetImport.AddRange(Opsets(function.Opsets));
        return proto;
    }

    private static AttributeProto Attribute(Attribute attribute)
    {
        var proto = new AttributeProto { Name = attribute.Name, Type = (AttributeProto.Types.AttributeType)attribute.Kind };
        if (attribute.ReferenceTo is { } reference)
        {
            proto.RefAttrName = reference;
            return proto;
        }
        switch (attribute.Content)
        {
            case float f: proto.F = f; break;
            case long i: proto.I = i; break;
            case string s: proto.S = ByteString.CopyFromUtf8(s); break;
            case Tensor t: proto.T = Tensor("", t); break;
            case Graph g: proto.G = Graph(g, withInitializers: true); break;
            case IReadOnlyList<float> floats: proto.Floats.AddRange(floats); break;
            case IReadOnlyList<long> ints: proto.Ints.AddRange(ints); break;
            case IReadOnlyList<string> strings: proto.Strings.AddRange(strings.Select(ByteString.CopyFromUtf8)); break;
            case IReadOnlyList<Tensor> tensors: proto.Tensors.AddRange(tensors.Select(t => Tensor("", t))); break;
            case IReadOnlyList<Graph> graphs: proto.Graphs.AddRange(graphs.Select(g => Graph(g, withInitializers: true))); break;
            default: throw new InvalidOperationException($"attribute '{attribute.Name}' has no content ONNX knows");
        }
        return proto;
    }

    private static ValueInfoProto Info(Value value)
    {
        var proto = new ValueInfoProto { Name = value.Name };
        if (value.Type != ElementType.Undefined)
        {
            var tensor = new TypeProto.Types.Tensor { ElemType = (int)value.Type };
            if (value.Shape is { } shape)
            {
                tensor.Shape = new TensorShapeProto();
                tensor.Shape.Dim.AddRange(shape.Select(Dimension));
            }
            proto.Type = new TypeProto { TensorType = tensor };
        }
        Copy(value.Metadata, proto.MetadataProps);
        return proto;
    }

    private static TensorShapeProto.Types.Dimension Dimension(Dim dim) => dim switch
    {
        { Size: { } size } => new() { DimValue = size },
        { Symbol: { } symbol } => new() { DimParam = symbol },
        _ => new(),
    };

    private static IEnumerable<OperatorSetIdProto> Opsets(SortedDictionary<string, long> opsets) =>
        opsets.Select(o => new OperatorSetIdProto { Domain = o.Key, Version = o.Value });

    private static void Copy(SortedDictionary<string, string> from, RepeatedField<StringStringEntryProto> to) =>
        to.AddRange(from.Select(e => new StringStringEntryProto { Key = e.Key, Value = e.Value }));
}
