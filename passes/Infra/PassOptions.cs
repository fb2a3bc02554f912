using System.Text.Json.Nodes;
using Halo.Ir;

namespace Halo.Passes.Infra;

/// <summary>How <see cref="PassManager"/> runs passes.</summary>
public sealed record PassOptions
{
    /// <summary>Runs graphs, for passes that compute and for verification.</summary>
    public IGraphEvaluator? Evaluator { get; init; }

    /// <summary>The tensors of the model's checkpoint by name, for passes that find weights in it. Files should be read when a tensor is.</summary>
    public IReadOnlyDictionary<string, Tensor>? Checkpoint { get; init; }

    /// <summary>The model's rotary tables (positions, D/2) float32 for any number of positions, for passes that make a graph longer.</summary>
    public Func<int, (Tensor Cos, Tensor Sin)>? RotaryTables { get; init; }

    /// <summary>
    /// How many tokens a token sees in each layer, itself among them, 0 for all before it, for passes that make a graph longer; empty: in none fewer.
    /// </summary>
    public IReadOnlyList<int>? Windows { get; init; }

    /// <summary>
    /// The second moment X^T X (K, K) float32 of the inputs X (rows, K) of each linear layer by the name of its weight, for passes that round weights. Layers
    /// that read the same inputs have the same tensor; one may be computed when it is read.
    /// </summary>
    public IReadOnlyDictionary<string, Tensor>? InputMoments { get; init; }

    /// <summary>Takes one line for each step and skip.</summary>
    public Action<string>? Log { get; init; }

    /// <summary>Passes after which <see cref="Print"/> is called.</summary>
    public IReadOnlyList<string> PrintAfter { get; init; } = [];

    /// <summary>Takes the name of a pass and the model as that pass left it.</summary>
    public Action<string, Model>? Print { get; init; }

    /// <summary>The last pass to run; null runs all.</summary>
    public string? StopAfter { get; init; }

    /// <summary>
    /// Graph inputs by name. If given, the graph runs on them before the first and after every pass, and a pass whose outputs differ by
    /// more than its effect allows fails.
    /// </summary>
    public IReadOnlyDictionary<string, Tensor>? VerifyInputs { get; init; }
}

/// <summary>What one pass did.</summary>
/// <param name="Pass">The pass with its options.</param>
/// <param name="Rewrites">How many places it changed.</param>
/// <param name="Skipped">What it left, and why.</param>
/// <param name="Reported">Its records for sections of the report.</param>
/// <param name="Measured">Each output before the pass against after; null without verification.</param>
public sealed record PassRecord(
    IGraphPass Pass, int Rewrites, IReadOnlyList<SkippedNode> Skipped, IReadOnlyDictionary<string, JsonArray> Reported,
    IReadOnlyList<OutputDifference>? Measured);

/// <summary>What a pipeline did.</summary>
public sealed record PassRun(IReadOnlyList<PassRecord> Passes);
