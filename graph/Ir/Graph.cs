using System.Diagnostics.CodeAnalysis;

namespace Halo.Ir;

/// <summary>Nodes in execution order with the values between them. Edits keep names unique and use lists right.</summary>
/// <remarks>
/// Nodes form a linked list. Enumerating <see cref="Nodes"/> while inserting or removing is allowed: a node inserted behind the
/// current one is visited, a removed one is not.
/// </remarks>
public sealed class Graph
{
    private readonly List<Value> _inputs = [];
    private readonly List<Value> _outputs = [];
    private readonly Dictionary<string, Value> _values = new(StringComparer.Ordinal);
    private readonly Dictionary<string, int> _suffixes = new(StringComparer.Ordinal);
    private readonly List<Value> _initializers = [];
    private Model? _model;
    private Node? _first;
    private Node? _last;

    public Graph(string name = "graph", Graph? outer = null) => (Name, Outer) = (name, outer);

    public string Name { get; set; }

    public string DocString { get; set; } = "";

    /// <summary>The graph whose values this one may read, if it is a subgraph.</summary>
    public Graph? Outer { get; }

    /// <summary>The model whose graph, function body or subgraph this is.</summary>
    /// <exception cref="InvalidOperationException">None was made with it: operators are known to models.</exception>
    public Model Model => _model ?? Outer?.Model ?? throw new InvalidOperationException($"graph '{Name}' belongs to no model: make the model first");

    public IReadOnlyList<Value> Inputs => _inputs;

    public IReadOnlyList<Value> Outputs => _outputs;

    public IReadOnlyList<Value> Initializers => _initializers;

    public SortedDictionary<string, string> Metadata { get; } = new(StringComparer.Ordinal);

    public int NodeCount { get; private set; }

    public IEnumerable<Node> Nodes
    {
        get
        {
            for (var node = _first; node is not null; node = node.Next)
            {
                if (node.Graph == this)
                    yield return node;
            }
        }
    }

    /// <summary>All values defined in this graph, by name.</summary>
    public IReadOnlyDictionary<string, Value> Values => _values;

    public bool TryGetValue(string name, [NotNullWhen(true)] out Value? value) => _values.TryGetValue(name, out value);

    /// <summary>A name no value of this graph has: <paramref name="wish"/> itself, or with a number behind it.</summary>
    public string FreeName(string wish)
    {
        if (wish.Length > 0 && !IsTaken(wish))
            return wish;
        for (var n = _suffixes.GetValueOrDefault(wish) + 1; ; n++)
        {
            var name = $"{wish}_{n}";
            if (!IsTaken(name))
            {
                _suffixes[wish] = n;
                return name;
            }
        }
    }

    /// <summary>Makes this the graph, or the body of a function, of a model.</summary>
    /// <exception cref="InvalidOperationException">It is one of another model already.</exception>
    internal void JoinModel(Model model)
    {
        if (_model is not null && _model != model)
            throw new InvalidOperationException($"graph '{Name}' belongs to another model");
        _model = model;
    }

    public Value AddInput(Value value)
    {
        Define(value);
        value.IsGraphInput = true;
        _inputs.Add(value);
        return value;
    }

    /// <summary>Makes <paramref name="value"/> an output. It may be defined by a node, an input or an initializer of this graph.</summary>
    public void AddOutput(Value value)
    {
        value.IsGraphOutput = true;
        _outputs.Add(value);
    }

    public Value AddInitializer(string name, Tensor tensor)
    {
        var value = new Value(name, tensor.Type, tensor.Shape);
        Define(value);
        value.Initializer = tensor;
        _initializers.Add(value);
        return value;
    }

    /// <summary>Makes a value an initializer, defined by it unless it is an input.</summary>
    internal void AddInitializer(Value value, Tensor tensor)
    {
        if (!value.IsGraphInput)
            Define(value);
        MakeInitializer(value, tensor);
    }

    /// <summary>Lets <see cref="FreeName"/> give the names that it would give in another graph of the same values.</summary>
    internal void TakeFreeNames(Graph other)
    {
        foreach (var (wish, number) in other._suffixes)
            _suffixes[wish] = number;
    }

    /// <summary>Gives an existing graph input a default, which a caller may replace (IR versions before 4 listed every initializer as an input).</summary>
    public void MakeInitializer(Value input, Tensor tensor)
    {
        input.Initializer = tensor;
        _initializers.Add(input);
    }

    public Node Append(Node node) => Link(node, _last, null);

    public Node InsertBefore(Node anchor, Node node) => Link(node, Owned(anchor).Previous, anchor);

    public Node InsertAfter(Node anchor, Node node) => Link(node, Owned(anchor), anchor.Next);

    /// <summary>Puts the node in front of all others.</summary>
    public Node Prepend(Node node) => Link(node, null, _first);

    /// <summary>Removes a node whose outputs nobody reads.</summary>
    /// <exception cref="InvalidOperationException">An output is still read or is a graph output; nothing is changed.</exception>
    public void Remove(Node node)
    {
        Owned(node);
        foreach (var output in node.Outputs)
        {
            if (output.Uses.Count > 0 || output.IsGraphOutput)
                throw new InvalidOperationException($"{node} cannot be removed: output '{output.Name}' is still in use");
        }
        node.Detach();
        foreach (var output in node.Outputs)
            _values.Remove(output.Name);
        if (node.Previous is null) _first = node.Next; else node.Previous.Next = node.Next;
        if (node.Next is null) _last = node.Previous; else node.Next.Previous = node.Previous;
        node.Graph = null; // Next stays, so that an enumeration standing here finds its way on
        NodeCount--;
    }

    /// <summary>Removes an initializer that nobody reads.</summary>
    public void RemoveInitializer(Value value)
    {
        if (value.Uses.Count > 0 || value.IsGraphOutput)
            throw new InvalidOperationException($"initializer '{value.Name}' is still in use");
        _initializers.Remove(value);
        value.Initializer = null;
        if (!value.IsGraphInput)
            _values.Remove(value.Name);
    }

    /// <summary>Removes every initializer that nobody reads and returns how many there were.</summary>
    public int RemoveUnusedInitializers()
    {
        static bool IsUnused(Value v) => v.Uses.Count == 0 && !v.IsGraphOutput && !v.IsGraphInput;
        var unused = _initializers.Where(IsUnused).ToList();
        _initializers.RemoveAll(IsUnused);
        foreach (var value in unused)
        {
            value.Initializer = null;
            _values.Remove(value.Name);
        }
        return unused.Count;
    }

    public void RemoveInput(Value value)
    {
        if (value.Uses.Count > 0 || value.IsGraphOutput)
            throw new InvalidOperationException($"graph input '{value.Name}' is still in use");
        _inputs.Remove(value);
        _values.Remove(value.Name);
        value.IsGraphInput = false;
    }

    /// <summary>Drops an output; what computed it stays until dead code is removed.</summary>
    public void RemoveOutput(Value value)
    {
        _outputs.Remove(value);
        value.IsGraphOutput = _outputs.Contains(value);
    }

    /// <summary>Lets the graph output <paramref name="old"/> be computed as <paramref name="replacement"/>, which takes over its name.</summary>
    public void ReplaceOutput(Value old, Value replacement)
    {
        var name = old.Name;
        for (var i = 0; i < _outputs.Count; i++)
        {
            if (_outputs[i] == old)
                _outputs[i] = replacement;
        }
        old.IsGraphOutput = false;
        replacement.IsGraphOutput = true;
        Rename(old, FreeName(old.Producer is { Name.Length: > 0 } producer && producer.Name != name ? producer.Name : name + "/replaced"));
        Rename(replacement, name);
    }

    public void Rename(Value value, string name)
    {
        if (value.Name == name)
            return;
        if (_values.ContainsKey(name))
            throw new InvalidOperationException($"the name '{name}' is taken");
        _values.Remove(value.Name);
        value.Name = name;
        _values.Add(name, value);
    }

    /// <summary>Puts all nodes in another order.</summary>
    /// <param name="order">Every node once, each behind what it reads.</param>
    /// <exception cref="InvalidOperationException">Others, or one of them twice.</exception>
    public void Order(IReadOnlyList<Node> order)
    {
        if (order.Count != NodeCount || order.Distinct().Count() != NodeCount || order.Any(n => n.Graph != this))
            throw new InvalidOperationException($"the order is not one of the {NodeCount} nodes of graph '{Name}'");
        _first = _last = null;
        foreach (var node in order)
            Join(node);
    }

    private void Join(Node node)
    {
        (node.Previous, node.Next) = (_last, null);
        if (_last is null) _first = node; else _last.Next = node;
        _last = node;
    }

    /// <summary>What a node reads: its inputs, and what its subgraphs read from outside themselves.</summary>
    public static IEnumerable<Value> ReadBy(Node node)
    {
        foreach (var input in node.Inputs)
        {
            if (input is not null)
                yield return input;
        }
        foreach (var subgraph in node.Subgraphs)
        {
            foreach (var inner in subgraph.Nodes.SelectMany(ReadBy).Concat(subgraph.Outputs))
            {
                if (!subgraph._values.TryGetValue(inner.Name, out var own) || own != inner)
                    yield return inner;
            }
        }
    }

    private bool IsTaken(string name) => _values.ContainsKey(name) || (Outer?.IsTaken(name) ?? false);

    private void Define(Value value)
    {
        if (!_values.TryAdd(value.Name, value))
            throw Twice(value);
    }

    private static InvalidOperationException Twice(Value value) => new($"value '{value.Name}' is defined twice");

    private Node Owned(Node node) => node.Graph == this ? node : throw new InvalidOperationException($"{node} is not in this graph");

    private Node Link(Node node, Node? previous, Node? next)
    {
        if (node.Graph is not null)
            throw new InvalidOperationException($"{node} is already in a graph");
        if (node.Outputs.FirstOrDefault(o => _values.ContainsKey(o.Name)) is { } taken)
            throw Twice(taken);
        if (node.Outputs.Count > 1 && node.Outputs.DistinctBy(o => o.Name).Count() < node.Outputs.Count)
            throw Twice(node.Outputs.GroupBy(o => o.Name).First(g => g.Count() > 1).First());
        foreach (var output in node.Outputs)
            Define(output);
        node.Graph = this;
        node.Previous = previous;
        node.Next = next;
        if (previous is null) _first = node; else previous.Next = node;
        if (next is null) _last = node; else next.Previous = node;
        NodeCount++;
        return node;
    }
}
