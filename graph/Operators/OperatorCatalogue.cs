using Halo.Ir;

namespace Halo.Operators;

/// <summary>What is known of operators, by domain and type; immutable. A <see cref="Model"/> is made with one.</summary>
public sealed class OperatorCatalogue
{
    private readonly Dictionary<(string Domain, string OpType), OperatorFacts> _facts;

    private OperatorCatalogue(IEnumerable<OperatorFacts> facts)
    {
        _facts = [];
        foreach (var operatorFacts in facts)
        {
            if (!_facts.TryAdd((operatorFacts.Domain, operatorFacts.OpType), operatorFacts))
                throw new ArgumentException($"'{operatorFacts.Domain}.{operatorFacts.OpType}' is listed twice");
        }
    }

    /// <summary>ONNX's operators and those of com.microsoft that graphs of language models use. A file per family.</summary>
    public static OperatorCatalogue Standard { get; } = new(((IEnumerable<OperatorFacts>)
    [
        .. ElementwiseOperators.Facts, .. ReductionOperators.Facts, .. ProductOperators.Facts, .. ReshapingOperators.Facts, .. SlicingOperators.Facts,
        .. IndexingOperators.Facts, .. SourceOperators.Facts, .. NormalizationOperators.Facts, .. AttentionOperators.Facts,
        .. QuantizationOperators.Facts,
    ]).Select(OperandCounts.With));

    /// <summary>All that is listed.</summary>
    public IReadOnlyCollection<OperatorFacts> All => _facts.Values;

    /// <summary>This catalogue and other operators.</summary>
    /// <exception cref="ArgumentException">An operator is listed twice.</exception>
    public OperatorCatalogue With(IEnumerable<OperatorFacts> others) => new(_facts.Values.Concat(others));

    /// <summary><see cref="OperatorFacts.Unknown"/> where the operator is not listed.</summary>
    public OperatorFacts Of(Node node) => _facts.GetValueOrDefault((node.Domain, node.OpType), OperatorFacts.Unknown);
}
