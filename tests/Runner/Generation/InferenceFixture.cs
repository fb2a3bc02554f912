using Halo.Models.Bundled;
using Halo.Models.GenAi;
using Halo.Models.HuggingFace;
using Halo.Models.Weights;
using Halo.Serialization;

namespace Halo.Tests.Runner.Generation;

/// <summary>An inference folder of the bundled model, made once a test run; see <see cref="PlainInferenceGraph"/>.</summary>
internal static class InferenceFixture
{
    private static readonly Lazy<string> Made = new(() =>
    {
        var folder = Directory.CreateTempSubdirectory("halo-inference-").FullName;
        AppDomain.CurrentDomain.ProcessExit += (_, _) => Directory.Delete(folder, recursive: true);
        Write(LlamaTiny.Folder, folder);
        return folder;
    });

    /// <summary>Not to be changed; <see cref="Copy"/> can be.</summary>
    public static string Folder => Made.Value;

    public static void Write(string source, string folder)
    {
        var config = DecoderConfig.Load(source);
        using var checkpoint = CheckpointReader.Open(source);
        OnnxWriter.Write(PlainInferenceGraph.Build(config, checkpoint, config.MaxPositions), Path.Combine(folder, "model.onnx"), externalData: true);
        GenAiConfig.Of(config, config.EosTokenIds, config.MaxPositions).Write(folder);
        foreach (var name in (string[])["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"])
            File.Copy(Path.Combine(source, name), Path.Combine(folder, name));
    }

    public static void Copy(TemporaryFolder target)
    {
        foreach (var file in Directory.GetFiles(Folder))
            File.Copy(file, target[Path.GetFileName(file)]);
    }
}
