using System.Text.Json;
using Halo.Models.Bundled;
using Halo.Models.GenAi;
using Halo.Models.HuggingFace;

namespace Halo.Tests.Models;

public sealed class GenAiConfigTests
{
    private static readonly DecoderConfig Config = DecoderConfig.Load(LlamaTiny.Folder);

    [Fact]
    public void The_file_has_the_names_that_GenAI_reads()
    {
        using var json = JsonDocument.Parse(GenAiConfig.Of(Config, [1, 4], 1000).ToJson());
        var model = json.RootElement.GetProperty("model");
        var decoder = model.GetProperty("decoder");
        Assert.Equal(["type", "vocab_size", "context_length", "decoder", "bos_token_id", "eos_token_id", "pad_token_id"],
            model.EnumerateObject().Select(p => p.Name));
        Assert.Equal(
            ["filename", "head_size", "hidden_size", "num_attention_heads", "num_hidden_layers", "num_key_value_heads", "session_options", "inputs", "outputs"],
            decoder.EnumerateObject().Select(p => p.Name));
        Assert.Equal("past_key_values.%d.key", decoder.GetProperty("inputs").GetProperty("past_key_names").GetString());
        Assert.Equal("present.%d.value", decoder.GetProperty("outputs").GetProperty("present_value_names").GetString());
        Assert.Equal([1, 4], model.GetProperty("eos_token_id").EnumerateArray().Select(e => e.GetInt32()));
        Assert.Equal(1000, model.GetProperty("context_length").GetInt32());
        Assert.Equal(1000, json.RootElement.GetProperty("search").GetProperty("max_length").GetInt32());
        Assert.Equal(0, decoder.GetProperty("session_options").GetProperty("provider_options").GetArrayLength());
    }

    [Fact]
    public void What_is_written_is_what_is_read()
    {
        using var folder = new TemporaryFolder();
        var config = GenAiConfig.Of(Config, [7], 512, padId: 9);
        config.Write(folder.Path);
        var read = GenAiConfig.Load(folder[GenAiConfig.FileName]);
        Assert.Equal(config.ToJson(), (read with { Model = read.Model with { Decoder = read.Model.Decoder with { SessionOptions = new() } } }).ToJson());
    }

    [Fact]
    public void One_eos_id_may_stand_without_a_list()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder["c.json"], GenAiConfig.Of(Config, [7], 512).ToJson().Replace("[\n      7\n    ]", "7", StringComparison.Ordinal));
        Assert.Equal([7], GenAiConfig.Load(folder["c.json"]).Model.EosTokenId);
    }

    [Fact]
    public void A_model_that_nothing_stops_is_refused() => Assert.Throws<HaloException>(() => GenAiConfig.Of(Config, [], 512));
}
