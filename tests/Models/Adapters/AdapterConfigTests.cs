using System.Text.Json.Nodes;
using Halo.Models.Adapters;
using Halo.Models.Weights;
using Halo.Tests.Runner;

namespace Halo.Tests.Models.Adapters;

/// <summary>PEFT's files: read, refused and written.</summary>
public class AdapterConfigTests
{
    /// <summary>As PEFT 0.21 writes it, with what it leaves at null or empty left out.</summary>
    private const string Config = """
        {"peft_type": "LORA", "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "somewhere", "peft_version": "0.21.0", "bias": "none", "r": 4, "lora_alpha": 8,
        "lora_dropout": 0.05, "use_rslora": true, "use_dora": false, "target_modules": ["q_proj", "model.layers.1.mlp.down_proj"], "layers_to_transform": [1],
        "rank_pattern": {"layers.1.self_attn.q_proj": 2}, "alpha_pattern": {"down_proj": 3.5}, "modules_to_save": ["lm_head"], "megatron_core": "megatron.core",
        "eva_config": null, "loftq_config": {}, "qalora_group_size": 16, "runtime_config": {"ephemeral_gpu_offload": false}}
        """;

    [Fact]
    public void A_config_is_written_as_it_was_read()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder[AdapterConfig.FileName], Config);
        var config = AdapterConfig.Load(folder.Path);
        Assert.Equal((2, 8 / Math.Sqrt(2)), (config.RankOf("model.layers.1.self_attn.q_proj"), config.ScaleOf("model.layers.1.self_attn.q_proj")));
        Assert.Equal((4, 3.5 / 2), (config.RankOf("model.layers.0.mlp.down_proj"), config.ScaleOf("model.layers.0.mlp.down_proj")));

        var (before, after) = (JsonNode.Parse(Config)!.AsObject(), JsonNode.Parse(config.ToJson())!.AsObject());
        foreach (var (key, value) in after)
            Assert.True(JsonNode.DeepEquals(before[key], value), $"{key}: {value?.ToJsonString()}"); // what is new says null
        Assert.Empty(before.Select(p => p.Key).Except(after.Select(p => p.Key)));
    }

    [Theory]
    [InlineData("\"bias\": \"all\"", "'bias'")]
    [InlineData("\"fan_in_fan_out\": true", "'fan_in_fan_out'")]
    [InlineData("\"lora_bias\": true", "'lora_bias'")]
    [InlineData("\"init_lora_weights\": \"pissa\"", "'init_lora_weights'")]
    [InlineData("\"layer_replication\": [[0, 2]]", "'layer_replication'")]
    [InlineData("\"target_parameters\": [\"experts\"]", "'target_parameters'")]
    [InlineData("\"use_qalora\": true", "'use_qalora'")]
    [InlineData("\"of_tomorrow\": 1", "'of_tomorrow'")]
    [InlineData("\"peft_type\": \"IA3\"", "'peft_type'")]
    [InlineData("\"r\": 0", "'r'")]
    [InlineData("\"rank_pattern\": {\"q_proj\": 0}", "'rank_pattern', 'q_proj'")]
    public void A_field_that_is_not_honoured_is_named(string field, string named)
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder[AdapterConfig.FileName], $$"""{"target_modules": ["q_proj"], {{field}}}""");
        Assert.Contains(named, Assert.Throws<HaloException>(() => AdapterConfig.Load(folder.Path)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Targets_are_found_as_in_PEFT()
    {
        using var checkpoint = CheckpointReader.Open(ExportFixture.Folder(TinyChat.Export));
        var all = Layers(c => c with { TargetPattern = AdapterConfig.AllLinear });
        Assert.Equal(14, all.Length);
        Assert.Equal(2, Layers(c => c with { Targets = ["q_proj"] }).Length);
        Assert.Equal(["model.layers.1.self_attn.q_proj"], Layers(c => c with { Targets = ["q_proj"], Layers = [1] }));
        Assert.Equal(["model.layers.0.mlp.up_proj"], Layers(c => c with { TargetPattern = @".*\.0\..*up_proj" }));
        Assert.Equal(["model.layers.1.mlp.up_proj"], Layers(c => c with { Targets = ["up_proj"], ExcludedPattern = @".*\.0\..*" }));
        Assert.DoesNotContain("model.layers.0.mlp.up_proj", Layers(c => c with { TargetPattern = AdapterConfig.AllLinear, SavedModules = ["up_proj"] }));
        var misspelt = Assert.Throws<HaloException>(() => Layers(c => c with { Targets = ["q_prj"] }));
        Assert.Contains("Did you mean 'q_proj'?", misspelt.Message, StringComparison.Ordinal);
        Assert.Throws<HaloException>(() => Layers(c => c with { Targets = ["embed_tokens"] }));

        string[] Layers(Func<AdapterConfig, AdapterConfig> change) =>
            [.. AdapterLayers.Of(change(new AdapterConfig { Rank = 2, Alpha = 2 }), checkpoint).Layers.Select(l => l.Module)];
    }

    [Fact]
    public void Tensors_are_written_as_they_were_read_and_another_base_is_refused()
    {
        using var folder = new TemporaryFolder();
        var config = new AdapterConfig { Rank = 2, Alpha = 2, Dora = true, Targets = ["q_proj", "v_proj"], SavedModules = ["lm_head"] };
        var model = ExportFixture.Folder(TinyChat.Export);
        DrawnAdapter.Write(folder["drawn"], config, model);
        using var weights = CheckpointReader.Open(model);
        using (var read = AdapterFolder.Open(folder["drawn"], weights))
        {
            AdapterFolder.Write(folder["again"], read.Config, read.Tensors.Values.Reverse().Select(SafetensorsSource.From), BaseDigest.Of(weights));
            Assert.Equal(13, read.Tensors.Count);
        }
        using var before = SafetensorsFile.Open(Path.Combine(folder["drawn"], AdapterFolder.WeightsName));
        using var after = SafetensorsFile.Open(Path.Combine(folder["again"], AdapterFolder.WeightsName));
        Assert.Contains("base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector", before.Tensors.Keys); // as PEFT names it
        Assert.Equal(before.Tensors.Keys, after.Tensors.Keys);
        Assert.All(before.Tensors.Values, t => Assert.True(t.Bytes().SequenceEqual(after.Bytes(t.Name)), t.Name));
        Assert.Equal(File.ReadAllText(Path.Combine(folder["drawn"], AdapterConfig.FileName)),
            File.ReadAllText(Path.Combine(folder["again"], AdapterConfig.FileName)));

        AdapterFolder.Open(folder["again"], weights).Dispose();
        SafetensorsWriter.Write(folder["other.safetensors"], [.. weights.Tensors.Values.Select(t => t.Name.EndsWith("o_proj.weight", StringComparison.Ordinal)
            ? SafetensorsSource.From(t.Name, t.DType, t.Shape, Array.ConvertAll(t.ReadFloats(), v => v * 2)) : SafetensorsSource.From(t))]);
        using var other = CheckpointReader.Open(folder["other.safetensors"]);
        Assert.Contains("the base that it was trained over",
            Assert.Throws<HaloException>(() => AdapterFolder.Open(folder["again"], other)).Message, StringComparison.Ordinal);
    }
}
