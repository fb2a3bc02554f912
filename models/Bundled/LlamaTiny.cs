using System.IO.Compression;
using Halo.Io;

namespace Halo.Models.Bundled;

/// <summary>The small trained LLaMA that is delivered beside the executable: weights, tokenizer and training graph. See <c>llama-tiny/README.md</c>.</summary>
public static class LlamaTiny
{
    /// <summary>The batch and the sequence length, in tokens, of the bundled training graph.</summary>
    public const int TrainingBatch = 8, TrainingSequence = 256;

    /// <summary>The Hugging Face folder: config.json, model.safetensors, tokenizer.json and their companions.</summary>
    /// <exception cref="HaloException">The folder does not lie beside the executable.</exception>
    public static string Folder
    {
        get
        {
            var folder = Path.Combine(AppContext.BaseDirectory, "llama-tiny");
            return Directory.Exists(folder) ? folder
                : throw new HaloException("llama-tiny", folder, "the bundled model", "no such folder", "Build or install Halo again.");
        }
    }

    /// <summary>Unpacks the training graph (forward, loss and gradient as PyTorch exports them, weights as inputs) into an ONNX file, atomically.</summary>
    /// <exception cref="HaloException">The packed graph is missing or damaged, or the target cannot be written.</exception>
    public static void ExtractTrainingGraph(string targetPath)
    {
        var packed = Path.Combine(Folder, $"training-{TrainingBatch}x{TrainingSequence}.onnx.br");
        using var source = Opened(packed);
        AtomicFile.Write(targetPath, target =>
        {
            using var brotli = new BrotliStream(source, CompressionMode.Decompress);
            try { brotli.CopyTo(target); }
            catch (InvalidDataException e) { throw Unreadable(packed, e); }
        });
    }

    private static FileStream Opened(string path)
    {
        try { return File.OpenRead(path); }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException) { throw Unreadable(path, e); }
    }

    private static HaloException Unreadable(string path, Exception cause) =>
        new("llama-tiny", path, "the packed training graph", cause.Message.TrimEnd('.'), "Build or install Halo again.", cause);
}
