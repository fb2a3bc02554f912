using Halo.Io;
using Halo.Models.Weights;

namespace Halo.Models.HuggingFace;

/// <summary>Writes a model as a Hugging Face folder: the files of the model it came from, with other weights.</summary>
public static class HuggingFaceFolder
{
    private static readonly string[] CompanionFiles =
    [
        "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
        "tokenizer.model", "vocab.json", "merges.txt", "chat_template.jinja", "chat_template.json",
    ];

    /// <summary>Writes <paramref name="target"/> as a whole or not at all.</summary>
    /// <param name="companions">Where config.json and the tokenizer's files are looked for; the first folder that has one gives it.</param>
    /// <param name="weights">A folder or file of safetensors: its tensors give names, order, shapes and dtypes.</param>
    /// <param name="target">A new or empty folder, or one that Halo wrote, which is replaced.</param>
    /// <param name="kind">What the folder's marker calls it.</param>
    /// <param name="values">Float32 values of a tensor, row-major, rounded to nearest even into its dtype; null copies the source's bytes. Called once per
    /// tensor, in order, while it is written.</param>
    /// <param name="stops">Ids that end a completion, which generation_config.json is to name; null leaves it as it is.</param>
    /// <param name="shardBytes">A file of weights holds no more, unless one tensor does.</param>
    /// <exception cref="HaloException">The source lacks a file, values have the wrong count or a dtype that is not floating point, or the target is not
    /// Halo's.</exception>
    public static void Write(IReadOnlyList<string> companions, string weights, string target, string kind, Func<SafetensorsTensor, float[]?> values,
        IReadOnlyCollection<int>? stops = null, long shardBytes = SafetensorsShards.Bytes)
    {
        CheckPlaces(companions, weights, target);
        using var checkpoint = CheckpointReader.Open(weights);
        OwnedFolder.Write(target, kind, folder =>
        {
            WriteCompanions(companions, folder);
            if (stops is not null)
                GenerationConfig.WriteStops(folder, stops);
            SafetensorsShards.Write(folder, [.. checkpoint.Tensors.Values.Select(t => Source(t, values))], checkpoint.Metadata, shardBytes);
        });
    }

    /// <summary>As <see cref="Write"/>, with the weights' files as they are: cloned, linked or copied (<see cref="FilePlacement"/>), shard by shard.</summary>
    /// <returns>How each file of weights came there, by its name in <paramref name="target"/>.</returns>
    /// <exception cref="HaloException">The source lacks a file, or the target is not Halo's.</exception>
    internal static IReadOnlyDictionary<string, PlacedAs> Keep(IReadOnlyList<string> companions, string weights, string target, string kind)
    {
        CheckPlaces(companions, weights, target);
        using var checkpoint = CheckpointReader.Open(weights);
        var placed = new OrderedDictionary<string, PlacedAs>();
        OwnedFolder.Write(target, kind, folder =>
        {
            WriteCompanions(companions, folder);
            if (checkpoint.IndexPath is { } index)
                CopyFile(index, Path.Combine(folder, CheckpointReader.IndexName));
            foreach (var file in checkpoint.Files)
            {
                var name = checkpoint.IndexPath is null ? CheckpointReader.SingleName : Path.GetFileName(file.Path);
                placed.Add(name, FilePlacement.Put(file.Path, Path.Combine(folder, name)));
            }
        });
        return placed;
    }

    /// <summary>Throws unless one of the folders has a config.json, without which nobody loads the model.</summary>
    /// <exception cref="HaloException">None has.</exception>
    public static void CheckCompanions(IReadOnlyList<string> companions)
    {
        if (Find(companions, "config.json") is null)
            throw Refusal(string.Join(", ", companions), "a config.json", "none", "Name the Hugging Face folder that the weights belong to.");
    }

    /// <summary>The file in the first folder that has it; null where none has.</summary>
    public static string? Find(IReadOnlyList<string> folders, string name) => folders.Select(f => Path.Combine(f, name)).FirstOrDefault(File.Exists);

    internal static void CheckPlaces(IReadOnlyList<string> companions, string weights, string target)
    {
        foreach (var source in companions.Append(weights).Select(Path.GetFullPath))
        {
            if (Path.TrimEndingDirectorySeparator(source) == Path.TrimEndingDirectorySeparator(Path.GetFullPath(target)))
                throw Refusal(target, "a folder other than the source", "the source", "Choose another output.");
        }
        CheckCompanions(companions);
    }

    /// <summary>Copies config and tokenizer files, each from the first folder that has it.</summary>
    public static void WriteCompanions(IReadOnlyList<string> companions, string folder)
    {
        foreach (var name in CompanionFiles)
        {
            if (Find(companions, name) is { } path)
                CopyFile(path, Path.Combine(folder, name));
        }
    }

    private static void CopyFile(string source, string target)
    {
        FilePlace.RequireRegular(source);
        using var file = File.OpenRead(source);
        AtomicFile.Write(target, file.CopyTo);
    }

    private static SafetensorsSource Source(SafetensorsTensor tensor, Func<SafetensorsTensor, float[]?> values) =>
        new(tensor.Name, tensor.DType, tensor.Shape, stream =>
        {
            if (values(tensor) is not { } given) { tensor.CopyTo(stream); return; }
            var subject = $"tensor '{tensor.Name}'";
            if (!Halo.Ir.ElementTypes.IsFloat(tensor.DType))
                throw Refusal(subject, "a floating point checkpoint", $"{tensor.DType}", "Start from the unquantized model.");
            if (given.Length != tensor.ElementCount)
                throw Refusal(subject, $"{tensor.ElementCount} values", $"{given.Length}", "Write the model it was trained from.");
            SafetensorsSource.From(tensor.Name, tensor.DType, tensor.Shape, given).Write(stream);
        });

    private static HaloException Refusal(string subject, string expected, string found, string advice) => new("write-folder", subject, expected, found, advice);
}
