using System.Text.Json;
using Halo.Io;
using Halo.Models.Weights;

namespace Halo.Models.HuggingFace;

/// <summary>Writes a model as a Hugging Face folder: the files of the model it came from, with other weights.</summary>
public static class HuggingFaceFolder
{
    /// <summary>The file that marks a folder as written by Halo, and so as one it may replace.</summary>
    public const string MarkerName = "halo.json";

    private static readonly string[] CompanionFiles =
    [
        "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
        "tokenizer.model", "vocab.json", "merges.txt", "chat_template.jinja", "chat_template.json",
    ];

    /// <summary>Writes <paramref name="targetFolder"/> as a whole or not at all: a sibling folder is filled and renamed.</summary>
    /// <param name="sourceFolder">A Hugging Face folder; its weights give names, order, shapes and dtypes.</param>
    /// <param name="targetFolder">A new or empty folder, or one that Halo wrote, which is replaced.</param>
    /// <param name="values">Float32 values of a tensor, row-major, rounded to nearest even into its dtype; null copies the source's bytes. Called once per tensor, in
    /// order, while it is written.</param>
    /// <exception cref="HaloException">The source lacks a file, values have the wrong count or a dtype that is not floating point, or the target is not Halo's.</exception>
    public static void Write(string sourceFolder, string targetFolder, Func<SafetensorsTensor, float[]?> values)
    {
        var (source, target) = (Path.GetFullPath(sourceFolder), Path.TrimEndingDirectorySeparator(Path.GetFullPath(targetFolder)));
        if (source.TrimEnd(Path.DirectorySeparatorChar) == target)
            throw Refusal(target, "a folder other than the source", "the source", "Choose another output.");
        CheckReplaceable(target);
        if (!File.Exists(Path.Combine(source, "config.json"))) throw Refusal(source, "a config.json", "none", "Name a Hugging Face folder.");
        using var checkpoint = CheckpointReader.Open(source);
        var temporary = Path.Combine(Path.GetDirectoryName(target)!, $".{Path.GetFileName(target)}.{Environment.ProcessId}.partial");
        try
        {
            Directory.CreateDirectory(temporary);
            foreach (var name in CompanionFiles.Where(name => File.Exists(Path.Combine(source, name))))
                using (var file = File.OpenRead(Path.Combine(source, name)))
                    AtomicFile.Write(Path.Combine(temporary, name), file.CopyTo);
            SafetensorsWriter.Write(Path.Combine(temporary, "model.safetensors"), [.. checkpoint.Tensors.Values.Select(t => Source(t, values))], checkpoint.Metadata);
            AtomicFile.WriteText(Path.Combine(temporary, MarkerName), Marker());
            Replace(temporary, target);
        }
        catch (Exception e)
        {
            if (Directory.Exists(temporary)) Directory.Delete(temporary, recursive: true);
            if (e is IOException or UnauthorizedAccessException)
                throw new HaloException("write-folder", target, "a place where the folder can be written", e.Message.TrimEnd('.'), "Free space or choose another output.", e);
            throw;
        }
    }

    /// <summary>Throws unless <paramref name="folder"/> is absent, empty, or carries Halo's marker.</summary>
    /// <exception cref="HaloException">A non-empty folder of something else, or a file.</exception>
    public static void CheckReplaceable(string folder)
    {
        if (File.Exists(folder)) throw Refusal(folder, "a folder", "a file", "Choose another output.");
        if (Directory.Exists(folder) && Directory.EnumerateFileSystemEntries(folder).Any() && !File.Exists(Path.Combine(folder, MarkerName)))
            throw Refusal(folder, "a new or empty folder, or one that Halo wrote", $"files and no {MarkerName}", "Choose another output or empty the folder.");
    }

    private static SafetensorsSource Source(SafetensorsTensor tensor, Func<SafetensorsTensor, float[]?> values) =>
        new(tensor.Name, tensor.DType, tensor.Shape, stream =>
        {
            if (values(tensor) is not { } given) { tensor.CopyTo(stream); return; }
            var subject = $"tensor '{tensor.Name}'";
            if (!Halo.Ir.ElementTypes.IsFloat(tensor.DType)) throw Refusal(subject, "a floating point checkpoint", $"{tensor.DType}", "Start from the unquantized model.");
            if (given.Length != tensor.ElementCount) throw Refusal(subject, $"{tensor.ElementCount} values", $"{given.Length}", "Write the model it was trained from.");
            SafetensorsSource.From(tensor.Name, tensor.DType, tensor.Shape, given).Write(stream);
        });

    private static string Marker() => JsonSerializer.Serialize(new { tool = "halo", version = typeof(HuggingFaceFolder).Assembly.GetName().Version!.ToString(3) }) + "\n";

    private static void Replace(string temporary, string target)
    {
        if (!Directory.Exists(target)) { Directory.Move(temporary, target); return; }
        var old = temporary + ".old";
        Directory.Move(target, old);
        try { Directory.Move(temporary, target); }
        catch { Directory.Move(old, target); throw; }
        Directory.Delete(old, recursive: true);
    }

    private static HaloException Refusal(string subject, string expected, string found, string advice) => new("write-folder", subject, expected, found, advice);
}
