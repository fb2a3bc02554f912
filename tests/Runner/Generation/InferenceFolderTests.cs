using System.Text.Json.Nodes;
using Halo.Io;
using Halo.Ir;
using Halo.Models.GenAi;
using Halo.Runner.Generation;

namespace Halo.Tests.Runner.Generation;

/// <summary>Folders that lack something, are damaged or mix two models: each is refused with what is wrong, before anything runs.</summary>
public sealed class InferenceFolderTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    [Fact]
    public void A_whole_folder_opens()
    {
        InferenceFixture.Copy(_folder);
        var folder = InferenceFolder.Open(_folder.Path);
        Assert.Equal(new InferenceGraph(2048, 4, 4, 2, 64, 1024, ElementType.Float, UsesHaloOperators: false), folder.Graph);
        Assert.Equal(1024, folder.MaxPositions);
    }

    [Fact]
    public void Symbolic_links_are_the_files_that_they_point_to()
    {
        foreach (var file in Directory.GetFiles(InferenceFixture.Folder))
            File.CreateSymbolicLink(_folder[Path.GetFileName(file)], file);
        Assert.Equal(4, InferenceFolder.Open(_folder.Path).Graph.Layers);
    }

    [Theory]
    [InlineData("model.onnx", "model.onnx: expected a file of the inference folder, found no such file")]
    [InlineData("model.onnx.data", "external data in 'model.onnx.data', found no such file")]
    [InlineData("config.json", "config.json: expected a file of the inference folder, found no such file")]
    [InlineData("tokenizer.json", "tokenizer.json: expected a file of the inference folder, found no such file")]
    [InlineData("genai_config.json", "genai_config.json: expected a file of the inference folder, found no such file")]
    public void A_missing_file_is_named(string name, string message)
    {
        InferenceFixture.Copy(_folder);
        OwnedFolder.Mark(_folder.Path, InferenceFolder.Kind);
        File.Delete(_folder[name]);
        Refused(message);
    }

    [Fact]
    public void Data_that_are_cut_short_are_found_without_reading_them()
    {
        InferenceFixture.Copy(_folder);
        using (var data = File.OpenWrite(_folder["model.onnx.data"]))
            data.SetLength(data.Length - 1);
        Refused("of 'model.onnx.data', found a file of ");
    }

    [Fact]
    public void A_graph_that_is_cut_short_is_refused()
    {
        InferenceFixture.Copy(_folder);
        using (var model = File.OpenWrite(_folder["model.onnx"]))
            model.SetLength(model.Length / 2);
        Refused("expected an ONNX model");
    }

    [Theory]
    [InlineData("vocab_size", "2000", "'vocab_size': expected 2048, as the graph has it, found 2000")]
    [InlineData("num_hidden_layers", "5", "'num_hidden_layers': expected 4, as the graph has it, found 5")]
    [InlineData("num_key_value_heads", "4", "'num_key_value_heads': expected 2, as the graph has it, found 4")]
    [InlineData("num_attention_heads", "8", "'num_attention_heads': expected 4, as the graph has it, found 8")]
    public void Another_models_config_is_refused(string field, string value, string message)
    {
        InferenceFixture.Copy(_folder);
        Change("config.json", json => json[field] = JsonNode.Parse(value));
        Refused(message);
    }

    [Theory]
    [InlineData("type", "\"phi\"", "'model.type': expected llama, as the graph has it, found phi")]
    [InlineData("vocab_size", "32000", "'model.vocab_size': expected 2048, as the graph has it, found 32000")]
    [InlineData("context_length", "2048", "'model.context_length': expected at most 1024")]
    [InlineData("decoder.num_hidden_layers", "22", "'decoder.num_hidden_layers': expected 4, as the graph has it, found 22")]
    [InlineData("decoder.num_key_value_heads", "4", "'decoder.num_key_value_heads': expected 2, as the graph has it, found 4")]
    [InlineData("decoder.num_attention_heads", "32", "'decoder.num_attention_heads': expected 4, as the graph has it, found 32")]
    [InlineData("decoder.head_size", "128", "'decoder.head_size': expected 64, as the graph has it, found 128")]
    [InlineData("decoder.filename", "\"../model.onnx\"", "expected a file beside it as decoder.filename, found '../model.onnx'")]
    [InlineData("decoder.filename", "\"decoder.onnx\"", "decoder.onnx: expected a file of the inference folder, found no such file")]
    [InlineData("decoder", "null", "'decoder': expected an object, found none")]
    public void A_genai_config_of_another_model_is_refused(string field, string value, string message)
    {
        InferenceFixture.Copy(_folder);
        Change(GenAiConfig.FileName, json =>
        {
            var at = json["model"]!;
            foreach (var name in field.Split('.')[..^1])
                at = at[name]!;
            at[field.Split('.')[^1]] = JsonNode.Parse(value);
        });
        Refused(message);
    }

    [Fact]
    public void Other_names_of_the_caches_are_refused()
    {
        InferenceFixture.Copy(_folder);
        Change(GenAiConfig.FileName, json => json["model"]!["decoder"]!["inputs"]!["past_key_names"] = "past.%d.k");
        Refused("'decoder.inputs': expected ");
    }

    [Fact]
    public void A_tokenizer_with_more_ids_than_the_model_has_logits_is_refused()
    {
        InferenceFixture.Copy(_folder);
        Change("tokenizer.json", json => json["added_tokens"]!.AsArray().Add(new JsonObject { ["id"] = 2048, ["content"] = "<|more|>", ["special"] = true }));
        Refused("tokenizer.json: expected at most 2048 ids, the logits of model.onnx, found 2049");
    }

    [Fact]
    public void Another_graph_is_refused()
    {
        InferenceFixture.Copy(_folder);
        File.Copy(TinyChat.Graph, _folder["model.onnx"], overwrite: true);
        Refused("the inputs of an inference graph");
    }

    [Fact]
    public void Other_folders_are_no_inference_folders()
    {
        Refused("expected an inference folder (model.onnx, genai_config.json), found another folder");
        var error = Assert.Throws<HaloException>(() => InferenceFolder.Open(_folder["nowhere"]));
        Assert.Equal("no such folder", error.Found);
    }

    public void Dispose() => _folder.Dispose();

    private void Refused(string message)
    {
        var error = Assert.Throws<HaloException>(() => InferenceFolder.Open(_folder.Path));
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
    }

    private void Change(string name, Action<JsonNode> change)
    {
        var json = JsonNode.Parse(File.ReadAllText(_folder[name]))!;
        change(json);
        File.Delete(_folder[name]); // what is bundled may be write-protected
        File.WriteAllText(_folder[name], json.ToJsonString());
    }
}
