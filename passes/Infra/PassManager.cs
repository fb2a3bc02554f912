using System.Text.Json.Nodes;
using Halo.Ir;

namespace Halo.Passes.Infra;

/// <summary>Runs passes over a model: Requires, Run, Verifier, Ensures for each.</summary>
public static class PassManager
{
    /// <summary>Runs the passes in order.</summary>
    /// <exception cref="PassException">A pass failed. The model is half rewritten: the caller must drop it and read its input again.</exception>
    public static PassRun Run(Model model, IReadOnlyList<IGraphPass> passes, PassOptions options)
    {
        var records = new List<PassRecord>();
        foreach (var pass in passes)
        {
            try
            {
                records.Add(RunOne(model, pass, options));
            }
            catch (HaloException e)
            {
                throw PassException.After([.. records.Select(r => r.Pass.Name)], e);
            }
            if (pass.Name == options.StopAfter)
                break;
        }
        return new PassRun(records);
    }

    private static PassRecord RunOne(Model model, IGraphPass pass, PassOptions options)
    {
        var context = new PassContext(pass.Name, options.Evaluator, options.Log);
        pass.Requires(model);
        var result = pass.Run(model, context);
        model.Graph.SortTopologically();
        pass.Ensures(model);
        return new PassRecord(pass, result.Rewrites, context.Skipped, context.Reported);
    }
}

/// <summary>How <see cref="PassManager"/> runs passes.</summary>
public sealed record PassOptions
{
    /// <summary>Runs graphs, for passes that compute and for verification.</summary>
    public IGraphEvaluator? Evaluator { get; init; }

    /// <summary>Takes one line for each step and skip.</summary>
    public Action<string>? Log { get; init; }

    /// <summary>The last pass to run; null runs all.</summary>
    public string? StopAfter { get; init; }
}

/// <summary>What one pass did.</summary>
/// <param name="Pass">The pass with its options.</param>
/// <param name="Rewrites">How many places it changed.</param>
/// <param name="Skipped">What it left, and why.</param>
/// <param name="Reported">Its records for sections of the report.</param>
public sealed record PassRecord(IGraphPass Pass, int Rewrites, IReadOnlyList<SkippedNode> Skipped, IReadOnlyDictionary<string, JsonArray> Reported);

/// <summary>What a pipeline did.</summary>
public sealed record PassRun(IReadOnlyList<PassRecord> Passes);
