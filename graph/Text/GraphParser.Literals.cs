using Halo.Ir;

namespace Halo.Text;

/// <content>Attributes, tensors and types.</content>
public sealed partial class GraphParser
{
    private Attribute Attribute(string name, Graph graph)
    {
        var next = _scan.Peek();
        if (next == '"')
            return Ir.Attribute.Of(name, _scan.String());
        if (next == '[')
            return Listed(name, AttributeKind.Ints, graph);
        if (char.IsAsciiDigit(next) || next is '-' or '.' || _scan.IsNext("nan") || _scan.IsNext("inf"))
        {
            var literal = _scan.Literal();
            return long.TryParse(literal, out var integer) ? Ir.Attribute.Of(name, integer) : Ir.Attribute.Of(name, Float(literal));
        }
        if (_scan.TryTake("graph"))
        {
            return _scan.TryTake("@")
                ? Ir.Attribute.Reference(name, AttributeKind.Graph, _scan.Name())
                : new Attribute(name, AttributeKind.Graph, Graph(graph));
        }
        var word = _scan.Name();
        if (_scan.Peek() is '@' or '[' && Enum.TryParse<AttributeKind>(word, ignoreCase: true, out var kind)
            && (_scan.Peek() == '@' || kind >= AttributeKind.Floats))
        {
            return _scan.TryTake("@") ? Ir.Attribute.Reference(name, kind, _scan.Name()) : Listed(name, kind, graph);
        }
        var type = ElementTypeNamed(word);
        return Ir.Attribute.Of(name, Tensor(type, Dims()));
    }

    private Attribute Listed(string name, AttributeKind kindIfEmpty, Graph graph)
    {
        var items = new List<Attribute>();
        _scan.Take("[");
        List("]", () => items.Add(Attribute(name, graph)));
        var kind = items.Count == 0 ? kindIfEmpty : items.Exists(i => i.Kind == AttributeKind.Float) ? AttributeKind.Floats : items[0].Kind + 5;
        return new Attribute(name, kind, kind switch
        {
            AttributeKind.Ints => items.ConvertAll(i => i.Int),
            AttributeKind.Floats => items.ConvertAll(i => i.Kind == AttributeKind.Int ? i.Int : i.Float),
            AttributeKind.Strings => items.ConvertAll(i => i.String),
            AttributeKind.Tensors => items.ConvertAll(i => i.Tensor),
            AttributeKind.Graphs => items.ConvertAll(i => i.Graph),
            _ => throw _scan.Error("a list of numbers, strings, tensors or graphs before this"),
        });
    }

    private Tensor Tensor(ElementType type, Shape? shape)
    {
        if (shape is null || !shape.IsStatic)
            throw _scan.Error("a tensor with its sizes before this");
        if (_scan.IsNext("hash") || _scan.IsNext("..."))
            throw _scan.Error("elements or a splat (the printed hash does not hold the content)");
        var count = shape.ElementCount!.Value;
        if (type == ElementType.String)
            return Ir.Tensor.OfStrings(shape.Sizes, Elements(shape).ConvertAll(System.Text.Encoding.UTF8.GetBytes));
        var bytes = _scan.TryTake("splat")
            ? TensorText.PackSplat(type, Code(type, _scan.Literal()), count)
            : TensorText.Pack(type, Elements(shape).ConvertAll(e => Code(type, e)));
        return bytes.LongLength == type.SizeBytes(count)
            ? new Tensor(type, shape.Sizes, new MemoryBytes(bytes))
            : throw _scan.Error($"{count} elements before this");
    }

    private List<string> Elements(Shape shape)
    {
        string Element() => _scan.Peek() == '"' ? _scan.String() : _scan.Literal();
        if (shape.Rank == 0)
            return [Element()];
        var elements = new List<string>();
        _scan.Take("{");
        List("}", () => elements.Add(Element()));
        return elements;
    }

    private ulong Code(ElementType type, string literal) => ElementText.Parse(type, literal)
        ?? throw _scan.Error($"a {type.Name()} before this instead of '{literal}'");

    private float Float(string literal) =>
        ElementText.ParseDouble(literal) is null ? throw _scan.Error($"a number before this instead of '{literal}'") : ElementText.ParseFloat(literal);

    private (ElementType Type, Shape? Shape) Type() => (_scan.TryTake("?") ? ElementType.Undefined : ElementTypeNamed(_scan.Name()), Dims());

    private Shape? Dims()
    {
        if (!_scan.TryTake("["))
            return null;
        var dims = new List<Dim>();
        List("]", () => dims.Add(_scan.TryTake("?") ? Dim.Unknown : char.IsAsciiDigit(_scan.Peek()) ? Dim.Of(_scan.Integer()) : Dim.Named(_scan.Name())));
        return new Shape(dims);
    }

    private ElementType ElementTypeNamed(string name) =>
        Enum.TryParse<ElementType>(name, ignoreCase: true, out var type) && !char.IsAsciiDigit(name[0]) ? type
            : throw _scan.Error($"an element type before this instead of '{name}'");
}
