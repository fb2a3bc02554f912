using System.Text.Json.Nodes;
using Halo.Io;
using Halo.Ir;
using Halo.Models.Bundled;
using Halo.Models.HuggingFace;
using Halo.Models.Tokenizers;
using Halo.Models.Weights;

namespace Halo.Tests.Models;

public class HuggingFaceTests
{
    [Fact]
    public void The_bundled_config_reads()
    {
        var config = DecoderConfig.Load(LlamaTiny.Folder);
        Assert.Equal((256, 704, 4, 4, 2, 64), (config.HiddenSize, config.IntermediateSize, config.Layers, config.Heads, config.KeyValueHeads, config.HeadDim));
        Assert.Equal((2048, 1024, 500000.0, 1e-5), (config.VocabularySize, config.MaxPositions, config.RopeTheta, config.RmsNormEpsilon));
        Assert.Equal((ElementType.BFloat16, false, null, 0, 5),
            (config.DType, config.TieWordEmbeddings, config.RopeScaling, config.BosTokenId, config.PadTokenId));
        Assert.Equal([1, 4], config.EosTokenIds);
    }

    [Fact]
    public void Transformers_4_spellings_read()
    {
        var config = Load(json =>
        {
            json.Remove("rope_parameters");
            json.Remove("dtype");
            json["torch_dtype"] = "float16";
            json["rope_theta"] = 10000.0;
            json["eos_token_id"] = 7;
            json["rope_scaling"] =
                JsonNode.Parse("""{"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,"original_max_position_embeddings":8192}""");
        });
        Assert.Equal((ElementType.Float16, 10000.0, new RopeScaling("llama3", 8, 1, 4, 8192)), (config.DType, config.RopeTheta, config.RopeScaling));
        Assert.Equal([7], config.EosTokenIds);
    }

    [Theory]
    [InlineData("model_type", "\"gpt2\"")]
    [InlineData("hidden_act", "\"gelu\"")]
    [InlineData("hidden_size", "0")]
    [InlineData("hidden_size", "\"256\"")]
    [InlineData("hidden_size", "null")]
    [InlineData("num_key_value_heads", "3")]
    [InlineData("head_dim", "63")]
    [InlineData("rms_norm_eps", "0")]
    [InlineData("dtype", "\"int4\"")]
    [InlineData("eos_token_id", "[\"x\"]")]
    [InlineData("bos_token_id", "2048")]
    [InlineData("rope_parameters", """{"rope_type":"yarn","factor":2}""")]
    [InlineData("rope_parameters", """{"rope_type":"linear","factor":0.5}""")]
    [InlineData("rope_parameters", "3")]
    [InlineData("rope_parameters", """{"rope_type":"dynamic"}""")]
    [InlineData("rope_parameters", """{"rope_type":"longrope","factor":2}""")]
    [InlineData("rope_parameters", """{"rope_type":"default","type":"linear","factor":2}""")]
    [InlineData("rope_parameters", """{"full_attention":{"rope_type":"default"}}""")]
    [InlineData("rope_scaling", """{"rope_type":"linear","factor":2}""")]
    [InlineData("rope_scaling", """{"factor":2}""")]
    [InlineData("rope_theta", "10000")]
    [InlineData("num_hidden_layers", "2000000000")]
    [InlineData("partial_rotary_factor", "0.5")]
    [InlineData("pretraining_tp", "2")]
    [InlineData("attention_dropout", "0.1")]
    [InlineData("quantization_config", "{}")]
    public void What_no_graph_honours_is_an_error(string name, string value) =>
        Assert.Contains(name.Split('_')[0], Assert.Throws<HaloException>(() => Load(json => json[name] = JsonNode.Parse(value))).Message);

    [Fact]
    public void A_written_folder_loads_and_is_replaced_only_if_it_is_ours()
    {
        using var folder = new TemporaryFolder();
        var target = folder["out"];
        HuggingFaceFolder.Write([LlamaTiny.Folder], LlamaTiny.Folder, target, "model",
            tensor => tensor.Name == "model.norm.weight" ? Enumerable.Repeat(1.00390625f, 256).ToArray() : null);
        using (var checkpoint = CheckpointReader.Open(target))
        using (var original = CheckpointReader.Open(LlamaTiny.Folder))
        {
            Assert.Equal(original.Tensors.Keys, checkpoint.Tensors.Keys);
            Assert.All(checkpoint.ReadFloats("model.norm.weight"), value => Assert.Equal(1f, value)); // a tie, rounded to even
            Assert.Equal(original.ReadFloats("lm_head.weight"), checkpoint.ReadFloats("lm_head.weight"));
        }
        Assert.Equal(2048, DecoderConfig.Load(target).VocabularySize);
        Assert.Equal(2048, HfTokenizer.Load(target).VocabularySize);
        HuggingFaceFolder.Write([LlamaTiny.Folder], LlamaTiny.Folder, target, "model", _ => null);
        Assert.Throws<HaloException>(() => HuggingFaceFolder.Write([LlamaTiny.Folder], LlamaTiny.Folder, target, "model", _ => new float[3]));
        Assert.Equal(File.ReadAllBytes(Path.Combine(LlamaTiny.Folder, "model.safetensors")), File.ReadAllBytes(Path.Combine(target, "model.safetensors")));
        File.Delete(Path.Combine(target, OwnedFolder.MarkerName));
        Assert.Throws<HaloException>(() => HuggingFaceFolder.Write([LlamaTiny.Folder], LlamaTiny.Folder, target, "model", _ => null));
        Assert.Throws<HaloException>(() => HuggingFaceFolder.Write([target], target, target, "model", _ => null));
        Assert.Equal([target], Directory.GetFileSystemEntries(folder.Path));
    }

    [Fact]
    public void A_large_model_is_written_in_shards_of_which_each_tensor_is_what_it_was()
    {
        using var folder = new TemporaryFolder();
        HuggingFaceFolder.Write([LlamaTiny.Folder], LlamaTiny.Folder, folder["out"], "model", _ => null, shardBytes: 1_500_000);
        using var original = CheckpointReader.Open(LlamaTiny.Folder);
        using var written = CheckpointReader.Open(folder["out"]);
        Assert.True(written.Files.Count > 3);
        Assert.All(original.Tensors, t => Assert.True(t.Value.Bytes().SequenceEqual(written[t.Key].Bytes()), t.Key));
    }

    /// <summary>A dense family that is unknown, and a mixture of experts.</summary>
    [Theory]
    [InlineData("gpt_neox", null, "one of those that Halo knows, llama, mistral, olmo2, phi3, qwen2, qwen3, smollm3", "found 'gpt_neox'")]
    [InlineData("mixtral", "num_local_experts", "a dense decoder", "'mixtral', a mixture of 8 experts")]
    [InlineData("qwen3_moe", "num_experts", "each token through every weight", "'qwen3_moe', a mixture of 8 experts")]
    public void An_unknown_family_is_told_what_is_known(string type, string? experts, params string[] parts)
    {
        var message = Assert.Throws<HaloException>(() => Load(json =>
        {
            json["model_type"] = type;
            if (experts is not null)
                json[experts] = 8;
        })).Message;
        Assert.All(parts, part => Assert.Contains(part, message, StringComparison.Ordinal));
    }

    [Fact]
    public void Layers_without_rotary_embedding_are_those_of_the_list_or_every_fourth()
    {
        Assert.Equal([true, false, false, true], Smol("[1,0,0,1,1]").Rotated);
        Assert.Equal([true, true, true, false], Smol("null").Rotated);
        Assert.Empty(Smol("[1,1,1,1]").Rotated);
        Assert.Equal([0, 8, 8, 0], Smol("[1,0,0,1]", json => (json["use_sliding_window"], json["sliding_window"]) = (true, 8)).Windows);
        Assert.True(Smol("null", json => json.Remove("tie_word_embeddings")).TieWordEmbeddings);
        foreach (var list in new[] { "[1,0]", "[1,0,2,1]" })
            Assert.Contains("no_rope_layers", Assert.Throws<HaloException>(() => Smol(list)).Message, StringComparison.Ordinal);

        static DecoderConfig Smol(string list, Action<JsonObject>? more = null) => Load(json =>
        {
            (json["model_type"], json["no_rope_layers"]) = ("smollm3", JsonNode.Parse(list));
            more?.Invoke(json);
        });
    }

    /// <summary>Phi-3's own class calls by three names what has a divisor for each pair.</summary>
    [Theory]
    [InlineData("su")]
    [InlineData("yarn")]
    [InlineData("longrope")]
    public void Longrope_of_Phi_3_has_three_names(string type)
    {
        var ones = string.Join(',', Enumerable.Repeat("1.5", 32));
        var config = Load(json =>
        {
            json.Remove("rope_parameters");
            (json["model_type"], json["original_max_position_embeddings"]) = ("phi3", 256);
            json["rope_scaling"] = JsonNode.Parse($$"""{"type":"{{type}}","short_factor":[{{ones}}],"long_factor":[{{ones}}]}""");
        });
        Assert.Equal((RopeScaling.LongRope, 4.0, 32), (config.RopeScaling!.Type, config.RopeScaling.Factor, config.RopeScaling.LongFactors.Count));
    }

    [Fact]
    public void The_training_graph_unpacks()
    {
        using var folder = new TemporaryFolder();
        LlamaTiny.ExtractTrainingGraph(folder["graph.onnx"]);
        Assert.Equal(8979065, new FileInfo(folder["graph.onnx"]).Length);
    }

    private static DecoderConfig Load(Action<JsonObject> edit)
    {
        var json = JsonNode.Parse(File.ReadAllText(Path.Combine(LlamaTiny.Folder, "config.json")))!.AsObject();
        edit(json);
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder["config.json"], json.ToJsonString());
        return DecoderConfig.Load(folder.Path);
    }
}
