using Halo.Ir;

namespace Halo.Passes.Infra;

/// <summary>Runs passes over a model: Requires, Run, Verifier, Ensures for each, and a comparison of what the graph computes if asked.</summary>
public static class PassManager
{
    private const string Who = "run-passes";

    /// <summary>Runs the passes in order.</summary>
    /// <exception cref="PassException">A pass failed. The model is half rewritten: the caller must drop it and read its input again.</exception>
    public static PassRun Run(Model model, IReadOnlyList<IGraphPass> passes, PassOptions options)
    {
        Check(passes, options);
        var done = new List<PassRecord>();
        var before = options.VerifyInputs is null ? null : Outputs(model, options);
        foreach (var pass in passes)
        {
            try
            {
                var record = RunOne(model, pass, options);
                if (before is not null)
                {
                    var after = Outputs(model, options);
                    record = record with { Measured = Compare(pass, before, after) };
                    before = after;
                }
                done.Add(record);
            }
            catch (HaloException e)
            {
                throw PassException.After([.. done.Select(r => r.Pass.Name)], e);
            }
            catch (OutOfMemoryException e)
            {
                throw PassException.After([.. done.Select(r => r.Pass.Name)], new PassException(pass.Name, $"graph '{model.Graph.Name}'",
                    "sizes whose tensors fit into memory", e.Message.TrimEnd('.'), "Take a smaller batch or sequence.", e));
            }
            catch (Exception e) when (e is not IOException and not UnauthorizedAccessException)
            {
                throw PassException.After([.. done.Select(r => r.Pass.Name)], new PassException(pass.Name, $"graph '{model.Graph.Name}'",
                    "a graph that keeps to the definitions of its operators", $"{e.GetType().Name}: {e.Message.TrimEnd('.')}",
                    "Check the graph with another tool; if it is right, the pass has a defect: report it with the graph.", e));
            }
            if (options.PrintAfter.Contains(pass.Name))
                options.Print!(pass.Name, model);
            if (pass.Name == options.StopAfter)
                break;
        }
        return new PassRun(done);
    }

    private static PassRecord RunOne(Model model, IGraphPass pass, PassOptions options)
    {
        var context = new PassContext(pass.Name, options);
        pass.Requires(model);
        var result = pass.Run(model, context);
        foreach (var graph in Graphs.Of(model))
            Sort(graph, pass);
        Analysis.Verifier.Check(model);
        pass.Ensures(model);
        return new PassRecord(pass, result.Rewrites, context.Skipped, context.Reported, null);
    }

    private static void Sort(Graph graph, IGraphPass pass)
    {
        try
        {
            graph.SortTopologically();
        }
        catch (InvalidOperationException e)
        {
            throw new PassException(pass.Name, $"graph '{graph.Name}'", "nodes that can be put in order", e.Message,
                "This is a defect of the pass; please report it.", e);
        }
    }

    /// <summary>Names that mean nothing here are mistakes, not wishes without effect.</summary>
    private static void Check(IReadOnlyList<IGraphPass> passes, PassOptions options)
    {
        foreach (var name in options.PrintAfter.Append(options.StopAfter).Where(n => n is not null && passes.All(p => p.Name != n)))
        {
            throw new HaloException(Who, $"pass '{name}' to print or stop after", "a pass of this pipeline", PipelineParser.ToText(passes),
                "Name one of these.");
        }
        if (options.PrintAfter.Count > 0 && options.Print is null)
            throw new ArgumentException("PrintAfter without Print", nameof(options));
        if (options.VerifyInputs is not null && options.Evaluator is null)
            throw new HaloException(Who, "verification", "a runtime that runs the graph", "none", "Give the pass manager an evaluator.");
    }

    private static Dictionary<string, Tensor> Outputs(Model model, PassOptions options)
    {
        var wanted = model.Graph.Inputs.Where(v => v.Initializer is null).Select(v => v.Name).ToHashSet(StringComparer.Ordinal);
        var inputs = options.VerifyInputs!.Where(p => wanted.Contains(p.Key)).ToDictionary(StringComparer.Ordinal);
        return model.Graph.Outputs.Select(v => v.Name).Zip(options.Evaluator!.Evaluate(model, inputs))
            .ToDictionary(p => p.First, p => p.Second, StringComparer.Ordinal);
    }

    /// <summary>Outputs are compared by name; one that a pass adds or drops has nothing to be compared with.</summary>
    private static List<OutputDifference> Compare(IGraphPass pass, Dictionary<string, Tensor> before, Dictionary<string, Tensor> after)
    {
        var differences = before.Where(p => after.ContainsKey(p.Key)).Select(p => OutputDifference.Of(p.Key, p.Value, after[p.Key])).ToList();
        if (differences.Count == 0)
        {
            throw new PassException(pass.Name, "verification", "an output that the graph has before and after", "none in common",
                "Run this pass without verification.");
        }
        var worst = differences.MaxBy(d => d.IsIdentical ? -1 : d.RelativeError)!;
        return worst.IsWithin(pass.Effect) ? differences : throw new PassException(pass.Name, $"output '{worst.Output}'", pass.Effect switch
        {
            ValueEffect.Reassociating(var bound) => $"a relative difference of at most {bound:g3}",
            ValueEffect.Quantizing(var floorDb) => $"a signal-to-noise ratio of at least {floorDb:g4} dB",
            _ => "the same bits as before",
        }, $"a relative difference of {worst.RelativeError:e2}, {worst.SqnrDb:f1} dB", "Look at this pass alone with --stop-after, or leave it out.");
    }
}
