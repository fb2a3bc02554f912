using Halo.Operators;

namespace Halo.Ir;

/// <summary>An operator applied to values. Inputs change only through <see cref="ReplaceInput"/>, so that use lists stay right.</summary>
public sealed class Node
{
    private readonly List<Value?> _inputs = [];
    private readonly List<Value> _outputs = [];

    /// <summary>Makes a node and its outputs; it belongs to no graph until it is inserted.</summary>
    /// <param name="opType">The operator, such as <c>MatMul</c>.</param>
    /// <param name="inputs">Values read; null where an optional input is left out.</param>
    /// <param name="outputs">Fresh values; this node becomes their producer.</param>
    /// <param name="domain">Empty for ONNX's own operators.</param>
    /// <param name="name">Shown in messages; unique by convention only.</param>
    public Node(string opType, IEnumerable<Value?> inputs, IEnumerable<Value> outputs, string domain = "", string name = "")
    {
        OpType = opType;
        Domain = domain;
        Name = name;
        foreach (var input in inputs)
            AddInput(input);
        foreach (var output in outputs)
            AddOutput(output);
    }

    public string Name { get; set; }

    public string OpType { get; set; }

    /// <summary>Empty for ONNX's own operators, however a file spells it.</summary>
    public string Domain { get; set => field = OnnxDomain.Normalized(value); }

    /// <summary>True of ONNX's own operators.</summary>
    public bool IsStandard => Domain.Length == 0;

    /// <summary>Which of several functions of one name this node calls; empty if there is one.</summary>
    public string Overload { get; set; } = "";

    public string DocString { get; set; } = "";

    public IReadOnlyList<Value?> Inputs => _inputs;

    public IReadOnlyList<Value> Outputs => _outputs;

    public SortedDictionary<string, Attribute> Attributes { get; } = new(StringComparer.Ordinal);

    public SortedDictionary<string, string> Metadata { get; } = new(StringComparer.Ordinal);

    /// <summary>The graph this node stands in; null before insertion and after removal.</summary>
    public Graph? Graph { get; internal set; }

    /// <summary>What is known of the operator.</summary>
    /// <exception cref="InvalidOperationException">The node stands in no graph of a model.</exception>
    public OperatorFacts Facts => (Graph ?? throw new InvalidOperationException($"{this} stands in no graph")).Model.Operators.Of(this);

    internal Node? Previous { get; set; }

    internal Node? Next { get; set; }

    /// <summary>The first output; most operators have no other.</summary>
    public Value Output => _outputs[0];

    /// <summary>Input <paramref name="index"/>, or null if it is left out or not there.</summary>
    public Value? Input(int index) => index < _inputs.Count ? _inputs[index] : null;

    public bool Is(string opType, string domain = "") => OpType == opType && Domain == domain;

    public long Int(string attribute, long otherwise) => Attributes.TryGetValue(attribute, out var a) ? a.Int : otherwise;

    public float Float(string attribute, float otherwise) => Attributes.TryGetValue(attribute, out var a) ? a.Float : otherwise;

    public string String(string attribute, string otherwise) => Attributes.TryGetValue(attribute, out var a) ? a.String : otherwise;

    public IReadOnlyList<long>? Ints(string attribute) => Attributes.TryGetValue(attribute, out var a) ? a.Ints : null;

    public Node With(params ReadOnlySpan<Attribute> attributes)
    {
        foreach (var attribute in attributes)
            Attributes[attribute.Name] = attribute;
        return this;
    }

    public void AddInput(Value? value)
    {
        _inputs.Add(value);
        value?.AddUse(new Use(this, _inputs.Count - 1));
    }

    public void AddOutput(Value value)
    {
        if (value.Producer is not null || value.Initializer is not null || value.IsGraphInput)
            throw new InvalidOperationException($"value '{value.Name}' is already defined");
        value.Producer = this;
        value.ProducerIndex = _outputs.Count;
        _outputs.Add(value);
    }

    /// <summary>Lets input slot <paramref name="index"/> read <paramref name="value"/>; both use lists follow.</summary>
    public void ReplaceInput(int index, Value? value)
    {
        _inputs[index]?.RemoveUse(new Use(this, index));
        _inputs[index] = value;
        value?.AddUse(new Use(this, index));
    }

    /// <summary>Drops the last input slot.</summary>
    public void RemoveLastInput()
    {
        ReplaceInput(_inputs.Count - 1, null);
        _inputs.RemoveAt(_inputs.Count - 1);
    }

    /// <summary>Graphs held by attributes (the branches of If, the body of Loop).</summary>
    public IEnumerable<Graph> Subgraphs => Attributes.Values.SelectMany(a => a.Content switch
    {
        Graph graph => [graph],
        IReadOnlyList<Graph> graphs => graphs,
        _ => (IEnumerable<Graph>)[],
    });

    /// <summary>How messages name this node: <c>'name' (OpType)</c>.</summary>
    public override string ToString() => $"'{(Name.Length > 0 ? Name : _outputs.FirstOrDefault()?.Name)}' ({(Domain.Length > 0 ? Domain + "." : "")}{OpType})";

    internal void Detach()
    {
        for (var i = 0; i < _inputs.Count; i++)
            ReplaceInput(i, null);
    }
}
