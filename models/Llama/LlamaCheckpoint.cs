using Halo.Ir;
using Halo.Models.HuggingFace;
using Halo.Models.Weights;

namespace Halo.Models.Llama;

/// <summary>Whether a checkpoint holds the parameters of a LLaMA, no fewer and no others. Headers are read, not weights.</summary>
public static class LlamaCheckpoint
{
    /// <summary>Tables that old versions of Transformers saved with the parameters; they follow from <c>config.json</c>.</summary>
    private const string RotaryBuffer = ".rotary_emb.inv_freq";

    private const int NamesShown = 8;

    /// <summary>Compares names, shapes and types with <see cref="LlamaParameters"/>.</summary>
    /// <returns>
    /// Names of tensors that no parameter needs: rotary tables, and in a tied model the head, whose values must be those of the embedding.
    /// </returns>
    /// <exception cref="HaloException">A parameter is missing, of another shape, or not float32, bfloat16 or float16; another tensor is there.</exception>
    public static IReadOnlyList<string> Check(DecoderConfig config, CheckpointReader checkpoint)
    {
        CheckLayers(config, checkpoint);
        var parameters = LlamaParameters.Of(config);
        var names = parameters.Select(p => p.Name).ToHashSet(StringComparer.Ordinal);
        var missing = parameters.Where(p => !checkpoint.Tensors.ContainsKey(p.Name)).Select(p => p.Name).ToList();
        if (missing.Count > 0 && checkpoint.Tensors.Keys.FirstOrDefault(n => n.EndsWith("." + missing[0], StringComparison.Ordinal)) is { } prefixed)
        {
            throw Refused(checkpoint.Path, "the names of the model's parameters", $"'{prefixed[..^missing[0].Length]}' before them, and other tensors beside them",
                "Save the LLaMA in it by itself: Halo does not train what stands beside it.");
        }
        if (missing.Count > 0)
            throw Refused(checkpoint.Path, "every parameter of the model", $"none of the names {Listed(missing)}", "Fetch all files of the checkpoint.");
        var unneeded = checkpoint.Tensors.Keys.Where(n => !names.Contains(n)).ToList();
        var others = unneeded.Where(n => !n.EndsWith(RotaryBuffer, StringComparison.Ordinal) && !IsTiedHead(n)).ToList();
        if (others.Count > 0)
        {
            throw Refused(checkpoint.Path, "no tensors but the parameters of the model", $"also {Listed(others)}",
                "Check that config.json and weights belong together; Halo trains LLaMA without additions.");
        }
        foreach (var (name, shape) in parameters)
            CheckTensor(checkpoint, name, shape);
        if (unneeded.Any(IsTiedHead))
            CheckTiedHead(checkpoint);
        return unneeded;

        bool IsTiedHead(string name) => name == LlamaParameters.Head && config.TieWordEmbeddings;
    }

    /// <summary>Before a list of names is made, which may be longer than memory.</summary>
    private static void CheckLayers(DecoderConfig config, CheckpointReader checkpoint)
    {
        var prefix = LlamaParameters.Layer(0)[..^1];
        var layers = checkpoint.Tensors.Keys.Where(n => n.StartsWith(prefix, StringComparison.Ordinal)).Select(n => n[prefix.Length..].Split('.')[0]).Distinct().Count();
        if (layers != config.Layers && layers > 0)
        {
            throw Refused(checkpoint.Path, $"{config.Layers} layers, num_hidden_layers of config.json", $"those of {layers}",
                "Check that config.json and weights belong together, and that all files of the checkpoint are there.");
        }
    }

    private static void CheckTensor(CheckpointReader checkpoint, string name, Shape shape)
    {
        var tensor = checkpoint[name];
        var found = Shape.Of([.. tensor.Shape]);
        if (!found.Equals(shape) || tensor.DType is not (ElementType.Float or ElementType.BFloat16 or ElementType.Float16))
        {
            throw Refused($"{checkpoint.Path}: '{name}'", $"float32, bfloat16 or float16 {shape}, as config.json has it", $"{tensor.DType.Name()} {found}",
                "Check that config.json and weights belong together.");
        }
    }

    /// <summary>A head of its own would be lost: the model is built, trained and saved with one weight for both.</summary>
    private static void CheckTiedHead(CheckpointReader checkpoint)
    {
        var (head, embedding) = (checkpoint[LlamaParameters.Head], checkpoint[LlamaParameters.Embedding]);
        var isSame = head.DType == embedding.DType && head.SizeBytes == embedding.SizeBytes;
        const int Piece = 1 << 20;
        for (var at = 0L; isSame && at < head.SizeBytes; at += Piece)
        {
            var length = (int)Math.Min(Piece, head.SizeBytes - at);
            isSame = head.Slice(at, length).SequenceEqual(embedding.Slice(at, length));
        }
        if (!isSame)
        {
            throw Refused($"{checkpoint.Path}: '{LlamaParameters.Head}'", $"the values of '{LlamaParameters.Embedding}' (tie_word_embeddings)", "others",
                "Set tie_word_embeddings to false in config.json, or remove the tensor.");
        }
    }

    private static string Listed(List<string> names) =>
        string.Join(", ", names.Take(NamesShown)) + (names.Count > NamesShown ? $" and {names.Count - NamesShown} more" : "");

    private static HaloException Refused(string subject, string expected, string found, string advice) =>
        new("check-weights", subject, expected, found, advice);
}
