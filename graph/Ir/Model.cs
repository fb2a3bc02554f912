using Halo.Operators;

namespace Halo.Ir;

/// <summary>A function of the model: an operator given as a graph of other operators.</summary>
/// <param name="Domain">The operator's domain.</param>
/// <param name="Name">The operator's name.</param>
/// <param name="Overload">Tells functions of one name apart; empty if there is one.</param>
/// <param name="Body">Inputs and outputs are untyped values; no initializers.</param>
public sealed record Function(string Domain, string Name, string Overload, Graph Body)
{
    /// <summary>Attributes a caller must give.</summary>
    public IReadOnlyList<string> AttributeNames { get; init; } = [];

    /// <summary>Attributes with a default.</summary>
    public IReadOnlyList<Attribute> AttributeDefaults { get; init; } = [];

    /// <summary>Every domain the body uses, with its version.</summary>
    public SortedDictionary<string, long> Opsets { get; init; } = new(StringComparer.Ordinal);

    public string DocString { get; init; } = "";

    public (string Domain, string Name, string Overload) Key => (Domain, Name, Overload);
}

/// <summary>A graph with what it needs to be run: operator sets, functions, metadata.</summary>
public sealed class Model
{
    /// <summary>The newest IR version this reader and writer know, which is the newest ONNX Runtime 1.31 loads.</summary>
    public const long NewestIrVersion = 13;

    /// <param name="graph">Belongs to no other model.</param>
    /// <param name="operators">What is known of the operators that may occur in it.</param>
    public Model(Graph graph, OperatorCatalogue operators)
    {
        (Graph, Operators) = (graph, operators);
        graph.JoinModel(this);
    }

    public Graph Graph { get; }

    /// <summary>What is known of operators, in the graph, its subgraphs and the bodies of functions.</summary>
    public OperatorCatalogue Operators { get; }

    public long IrVersion { get; set; } = 10;

    public string ProducerName { get; set; } = "";

    public string ProducerVersion { get; set; } = "";

    public string Domain { get; set; } = "";

    public long ModelVersion { get; set; }

    public string DocString { get; set; } = "";

    /// <summary>Operator set versions by domain; "" is ONNX's own.</summary>
    public SortedDictionary<string, long> Opsets { get; } = new(StringComparer.Ordinal);

    public SortedDictionary<string, string> Metadata { get; } = new(StringComparer.Ordinal);

    private readonly SortedDictionary<(string Domain, string Name, string Overload), Function> _functions = [];

    public IReadOnlyCollection<Function> Functions => _functions.Values;

    public long Opset => Opsets.GetValueOrDefault("");

    public Function? FindFunction(Node node) => _functions.GetValueOrDefault((node.Domain, node.OpType, node.Overload));

    /// <summary>Adds a function, or replaces the one of the same domain, name and overload.</summary>
    public void AddFunction(Function function)
    {
        function.Body.JoinModel(this);
        _functions[function.Key] = function;
    }

    public bool HasFunction((string Domain, string Name, string Overload) key) => _functions.ContainsKey(key);

    public void RemoveFunction(Function function) => _functions.Remove(function.Key);
}
