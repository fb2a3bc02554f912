using Halo.Runner.Training;

namespace Halo.Runner.Sources;

/// <summary>Where the weights that a config starts from lie, and the files beside them.</summary>
internal static class StartingFiles
{
    /// <summary>The starting weights: those given, or those of a Hugging Face folder that is the model.</summary>
    /// <exception cref="HaloException">Neither is there.</exception>
    public static string Weights(TrainConfig config) => config.Weights ?? (Directory.Exists(config.Model) ? config.Model
        : throw new HaloException("prepare", "weights", "a safetensors file or folder", "none", "Give --weights."));

    /// <summary>Where config.json and the tokenizer's files lie: the tokenizer's folder, then the model's, then that of the weights.</summary>
    public static IReadOnlyList<string> Companions(TrainConfig config)
    {
        string FolderOf(string path) => Directory.Exists(path) ? path : Path.GetDirectoryName(Path.GetFullPath(path))!;
        var folders = new List<string>();
        if (config.Tokenizer is { } tokenizer)
            folders.Add(TokenizerFolder(tokenizer));
        if (HuggingFaceSource.Of(config) is { } model)
            folders.Add(model.Folder);
        folders.Add(FolderOf(Weights(config)));
        return folders;
    }

    /// <summary>The folder that a config names for its tokenizer: no other tokenizer takes its place in silence.</summary>
    private static string TokenizerFolder(string path)
    {
        const string Name = "tokenizer.json";
        var folder = Path.GetFileName(path) == Name && File.Exists(path) ? Path.GetDirectoryName(Path.GetFullPath(path))! : path;
        return File.Exists(Path.Combine(folder, Name)) ? folder : throw new HaloException("tokenizer", path, $"a folder with a {Name}",
            Directory.Exists(path) ? "another folder" : File.Exists(path) ? "a file" : "no such folder", "Name the folder of the model's tokenizer.");
    }
}
