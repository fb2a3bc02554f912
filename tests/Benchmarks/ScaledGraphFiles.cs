using Halo.Serialization;
using Halo.Tests.Scale;

namespace Halo.Tests.Benchmarks;

/// <summary>Writes the graphs that <c>rewrite-scale.sh</c> rewrites.</summary>
public class ScaledGraphFiles
{
    [WhenFolderIsGiven]
    public void Write()
    {
        var folder = Environment.GetEnvironmentVariable(WhenFolderIsGivenAttribute.Variable)!;
        var export = OnnxReader.Read(ExportFixture.File("llama3-gqa", "training.onnx"));
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
    public const string Variable = "HALO_SCALE_GRAPHS";

    public WhenFolderIsGivenAttribute()
    {
        if (string.IsNullOrEmpty(Environment.GetEnvironmentVariable(Variable)))
            Skip = $"{Variable} names no folder; tests/Benchmarks/rewrite-scale.sh does";
    }
}
