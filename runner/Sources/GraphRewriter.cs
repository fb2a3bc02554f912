using Halo.Io;
using Halo.Ir;
using Halo.Passes.Infra;
using Halo.Runner.Sessions;

namespace Halo.Runner.Sources;

/// <summary>A rewritten model with what was done to it.</summary>
/// <param name="Model">With the ledger in its metadata.</param>
/// <param name="Run">What each pass did.</param>
/// <param name="InputSha256">Hash of the file that was read.</param>
internal sealed record RewrittenGraph(Model Model, PassRun Run, string InputSha256);

/// <summary>Reads a graph, runs a pipeline over it, and notes both in the ledger.</summary>
internal static class GraphRewriter
{
    /// <param name="path">The ONNX file.</param>
    /// <param name="passes">The pipeline.</param>
    /// <param name="verify">Run the graph before and after every pass and hold each pass to its claim.</param>
    /// <param name="options">Printing and stopping; evaluator and inputs are filled in here.</param>
    /// <exception cref="HaloException">The file, or what a pass needs of it, is not right.</exception>
    public static RewrittenGraph Rewrite(string path, IReadOnlyList<IGraphPass> passes, bool verify = false, PassOptions? options = null)
    {
        return Rewrite(SourceGraph.AsItIs(path), passes, verify, options);
    }

    /// <param name="source">The graph; its model is changed.</param>
    /// <param name="passes">The pipeline.</param>
    /// <param name="verify">Run the graph before and after every pass and hold each pass to its claim.</param>
    /// <param name="options">Printing and stopping; evaluator and inputs are filled in here.</param>
    /// <exception cref="HaloException">What a pass needs of the graph is not right.</exception>
    public static RewrittenGraph Rewrite(SourceGraph source, IReadOnlyList<IGraphPass> passes, bool verify = false, PassOptions? options = null)
    {
        var model = source.Model;
        var run = PassManager.Run(model, passes, (options ?? new PassOptions()) with
        {
            Evaluator = new OnnxEvaluator(),
            VerifyInputs = verify ? VerificationInputs.For(model.Graph) : null,
        });
        Ledger.Append(model, run, source.InputSha256);
        return new RewrittenGraph(model, run, source.InputSha256);
    }

    /// <summary>Lower-case hexadecimal hash of a file's content.</summary>
    public static string Sha256(string path) => FileDigest.Sha256(path);
}
