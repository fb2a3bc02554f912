using Halo.Tests.Scale;

namespace Halo.Tests.Benchmarks;

/// <summary>Writes the Hugging Face folders that <c>prepare-scale.sh</c> prepares and <c>export-scale.sh</c> exports.</summary>
public class ScaledCheckpoints
{
    private const string Folder = "HALO_SCALE_CHECKPOINTS", FilledFolder = "HALO_SCALE_FILLED_CHECKPOINTS";

    [WhenFolderIsGiven(Folder)]
    public void Write()
    {
        var folder = Environment.GetEnvironmentVariable(Folder)!;
        foreach (var (name, shape) in new[]
        {
            ("8b-008", LlamaShape.Llama8B(8)), ("8b-032", LlamaShape.Llama8B()),
            ("405b-016", LlamaShape.Llama405B(16)), ("405b-063", LlamaShape.Llama405B(63)), ("405b-126", LlamaShape.Llama405B()),
        })
        {
            SparseCheckpoint.Write(shape, Path.Combine(folder, name));
        }
        foreach (var (name, config) in FamilyShapes.All)
            SparseCheckpoint.Write(config, Path.Combine(folder, name));
    }

    [WhenFolderIsGiven(FilledFolder)]
    public void Write_filled() =>
        SparseCheckpoint.Write(LlamaShape.Llama8B(), Path.Combine(Environment.GetEnvironmentVariable(FilledFolder)!, "8b-032"), isFilled: true);
}
