using Halo.Passes.Infra;
using Halo.Passes.Rewrite;
using Halo.Runner.Sources;
using Halo.Serialization;

namespace Halo.Training;

/// <summary>Rewrites graphs so that the products of their linear layers run in 8 bits, forward and backward.</summary>
public static class GraphRewrite
{
    /// <summary>Reads a graph, rewrites it, and writes the result whole or not at all. What was done also stands in the result's metadata.</summary>
    /// <param name="input">
    /// The ONNX file: a training graph (inputs: the parameters by name, <c>input_ids</c>, <c>attention_mask</c>, <c>labels</c> of shape (batch, sequence); outputs:
    /// <c>loss</c> and <c>grad.PARAMETER</c>), or a forward graph.
    /// </param>
    /// <param name="output">The file to write, another than the input.</param>
    /// <param name="scheme">Rotations: none, halo-0, halo-1, halo-2, or the axes of each product, such as <c>F=K;E=N+M;G=N</c>.</param>
    /// <param name="format">Operands: none, fp8, int8, fp6, or left and right of each product, such as <c>F=e4m3,e4m3;E=e5m2,e4m3;G=e5m2,e4m3</c>.</param>
    /// <param name="verify">Run the graph before and after every pass, on the CPU, and hold each pass to what it claims.</param>
    /// <exception cref="HaloException">A file, text or graph is not what it has to be; nothing is written.</exception>
    /// <exception cref="PassException">A pass cannot do what is asked of it, or its result is not what it claims; nothing is written.</exception>
    public static RewriteResult Run(string input, string output, string scheme = "halo-1", string format = "fp8", bool verify = false)
    {
        Outputs.Check("rewrite", [(nameof(output), output)], input);
        var rewritten = GraphRewriter.Rewrite(input, Pipelines.Rewrite(HaloScheme.Parse(scheme), GemmFormats.Parse(format)), verify);
        OnnxWriter.Write(rewritten.Model, output);
        return new RewriteResult(Path.GetFullPath(output), LinearReport.Line(rewritten.Model.Graph),
            [.. Ledger.Of(rewritten.Model).Rewrites[^1].Passes.Select(pass => pass.Describe(withOptions: false))]);
    }
}

/// <summary>What a rewrite came to.</summary>
/// <param name="Output">The file that was written.</param>
/// <param name="Linears">A line for people: linear layers, their products, and how many of these read 8-bit codes.</param>
/// <param name="Passes">A line for people on each pass that ran.</param>
public sealed record RewriteResult(string Output, string Linears, IReadOnlyList<string> Passes);
