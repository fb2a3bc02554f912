using System.Text.Json.Nodes;
using Halo.Ir;

namespace Halo.Passes.Infra;

/// <summary>What a pass is given beside the model, and where it says what it did and what it left.</summary>
public sealed class PassContext(string pass, PassOptions options)
{
    private readonly List<SkippedNode> _skipped = [];
    private readonly SortedDictionary<string, JsonArray> _report = new(StringComparer.Ordinal);

    /// <summary>Runs graphs, for passes that compute; null where the caller has no runtime.</summary>
    public IGraphEvaluator? Evaluator => options.Evaluator;

    /// <summary>The tensors of the model's checkpoint by name, read when looked at; null where none was given.</summary>
    public IReadOnlyDictionary<string, Tensor>? Checkpoint => options.Checkpoint;

    /// <summary>The model's rotary tables (positions, D/2) float32 for any number of positions; null where none were given.</summary>
    public Func<int, (Tensor Cos, Tensor Sin)>? RotaryTables => options.RotaryTables;

    /// <summary>How many tokens a token sees in each layer, 0 for all before it; null where that was not said.</summary>
    public IReadOnlyList<int>? Windows => options.Windows;

    /// <summary>The second moment of the inputs of each linear layer by the name of its weight; null where none were given.</summary>
    public IReadOnlyDictionary<string, Tensor>? InputMoments => options.InputMoments;

    public IReadOnlyList<SkippedNode> Skipped => _skipped;

    /// <summary>Records for sections of the report, such as <c>linears</c>.</summary>
    public IReadOnlyDictionary<string, JsonArray> Reported => _report;

    /// <summary>Says what is about to be done to a node.</summary>
    public void Step(Node node, string what) => Step(node.ToString(), what);

    /// <summary>Of something that is no node, such as an input.</summary>
    public void Step(string subject, string what) => options.Log?.Invoke($"{pass}: {subject}: {what}");

    /// <summary>Leaves a node as it is: there is nothing to do, for this reason. What is asked for and impossible is an exception.</summary>
    public void Skip(Node node, string reason) => Skip(node.ToString(), reason);

    /// <summary>Leaves something that is no node, such as an initializer.</summary>
    public void Skip(string subject, string reason)
    {
        _skipped.Add(new SkippedNode(subject, reason));
        options.Log?.Invoke($"{pass}: {subject}: left, {reason}");
    }

    /// <summary>Adds a record to a section of the report.</summary>
    public void Report(string section, JsonNode record)
    {
        if (!_report.TryGetValue(section, out var records))
            _report.Add(section, records = []);
        records.Add(record);
    }
}

/// <param name="Node">The node, as messages name it.</param>
/// <param name="Reason">Why it was left as it is.</param>
public sealed record SkippedNode(string Node, string Reason);
