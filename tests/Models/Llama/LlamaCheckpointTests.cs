using Halo.Ir;
using Halo.Models.HuggingFace;
using Halo.Models.Llama;
using Halo.Models.Weights;

namespace Halo.Tests.Models.Llama;

public class LlamaCheckpointTests
{
    private static DecoderConfig Config(string name) => DecoderConfig.Load(ExportFixture.Folder(name));

    [Fact]
    public void A_checkpoint_in_one_file_or_in_shards_is_the_models()
    {
        using var folder = new TemporaryFolder();
        using var source = CheckpointReader.Open(ExportFixture.Folder("llama3-gqa"));
        Assert.Empty(LlamaCheckpoint.Check(Config("llama3-gqa"), source));
        Shards.Write(folder.Path, [.. source.Tensors.Values.Select(SafetensorsSource.From)], count: 3);
        using var shards = CheckpointReader.Open(folder.Path);
        Assert.Equal(3, shards.Files.Count);
        Assert.Empty(LlamaCheckpoint.Check(Config("llama3-gqa"), shards));
    }

    [Fact]
    public void Missing_and_other_tensors_are_listed_by_name()
    {
        Refused(t => t.Name is "model.norm.weight" or "lm_head.weight" ? null : t, "none of the names model.norm.weight, lm_head.weight.");
        Refused(t => t.Name.Contains("_proj", StringComparison.Ordinal) ? null : t, "model.layers.1.self_attn.q_proj.weight and 6 more");
        Refused(t => t, "also model.layers.0.lora.weight.", Small("model.layers.0.lora.weight"));
        Refused(t => t, "also model.layers.0.self_attn.q_proj.bias.", Small("model.layers.0.self_attn.q_proj.bias"));
        Refused(t => t.Name == "model.norm.weight" ? Small(t.Name) : t, "bfloat16 or float16 [64], as config.json has it, found float [2]");
        Refused(t => t.Name == "model.norm.weight" ? new SafetensorsSource(t.Name, ElementType.Int32, [64], new byte[256]) : t, "found int32 [64]");
    }

    [Fact]
    public void Rotary_tables_of_old_checkpoints_are_left_out()
    {
        string[] buffers = ["model.layers.0.self_attn.rotary_emb.inv_freq", "model.rotary_emb.inv_freq"];
        using var folder = new TemporaryFolder();
        Assert.Equal(buffers, Checked(folder, "llama2-mha", t => t, [.. buffers.Select(Small)]));
    }

    [Fact]
    public void A_tied_head_may_be_there_if_it_is_the_embedding()
    {
        using var source = CheckpointReader.Open(ExportFixture.Folder("llama32-tied"));
        var embedding = source["model.embed_tokens.weight"];
        using var folder = new TemporaryFolder();
        var same = SafetensorsSource.From(embedding) with { Name = "lm_head.weight" };
        Assert.Equal(["lm_head.weight"], Checked(folder, "llama32-tied", t => t, same));
        var other = embedding.Bytes().ToArray();
        other[^1] ^= 1;
        var error = Assert.Throws<HaloException>(() => Checked(folder, "llama32-tied", t => t,
            new SafetensorsSource("lm_head.weight", embedding.DType, embedding.Shape, other)));
        Assert.Contains("tie_word_embeddings", error.Message, StringComparison.Ordinal);
    }

    private static void Refused(Func<SafetensorsSource, SafetensorsSource?> edit, string part, params SafetensorsSource[] more)
    {
        using var folder = new TemporaryFolder();
        var error = Assert.Throws<HaloException>(() => Checked(folder, "llama2-mha", edit, more));
        Assert.Contains(part, error.Message, StringComparison.Ordinal);
    }

    /// <summary>Checks the export's checkpoint with some tensors changed, left out or added.</summary>
    private static IReadOnlyList<string> Checked(
        TemporaryFolder folder, string name, Func<SafetensorsSource, SafetensorsSource?> edit, params SafetensorsSource[] more)
    {
        using var source = CheckpointReader.Open(ExportFixture.Folder(name));
        SafetensorsWriter.Write(folder["model.safetensors"],
            [.. source.Tensors.Values.Select(t => edit(SafetensorsSource.From(t))).OfType<SafetensorsSource>(), .. more]);
        using var checkpoint = CheckpointReader.Open(folder.Path);
        return LlamaCheckpoint.Check(Config(name), checkpoint);
    }

    private static SafetensorsSource Small(string name) => new(name, ElementType.Float, [2], new byte[8]);
}
