using Halo.CustomOps;
using Halo.Serialization;
using Halo.Tests.Scale;

namespace Halo.Tests.Benchmarks;

/// <summary>Writes the graphs that <c>rewrite-scale.sh</c> rewrites.</summary>
public class ScaledGraphFiles
{
    private const string Folder = "HALO_SCALE_GRAPHS";

    [WhenFolderIsGiven(Folder)]
    public void Write()
    {
        var folder = Environment.GetEnvironmentVariable(Folder)!;
        var export = OnnxReader.Read(ExportFixture.File("llama3-gqa", "training.onnx"), HaloOperators.Catalogue);
        foreach (var (name, shape) in new[]
        {
            ("8b-008", LlamaShape.Llama8B(8)), ("8b-032", LlamaShape.Llama8B()), ("8b-032-batch-4", LlamaShape.Llama8B(batch: 4)),
            ("405b-016", LlamaShape.Llama405B(16)), ("405b-063", LlamaShape.Llama405B(63)), ("405b-126", LlamaShape.Llama405B()),
        })
        {
            SparseModelFile.Write(ScaledExport.Make(export, shape), Path.Combine(folder, $"{name}.onnx"));
        }
    }
}

/// <summary>A fact for a benchmark's script; otherwise skipped.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class WhenFolderIsGivenAttribute : FactAttribute
{
    /// <param name="variable">The environment variable that the script sets.</param>
    public WhenFolderIsGivenAttribute(string variable)
    {
        Variable = variable;
        if (string.IsNullOrEmpty(Environment.GetEnvironmentVariable(variable)))
            Skip = $"{variable} names no folder; a script in tests/Benchmarks does";
    }

    public string Variable { get; }
}
