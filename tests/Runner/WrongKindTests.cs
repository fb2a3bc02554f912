using static Halo.Tests.Runner.HaloConsole;

namespace Halo.Tests.Runner;

/// <summary>Files and folders of another kind than asked for: what they are is said, and what helps with that.</summary>
public sealed class WrongKindTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public WrongKindTests() => TinyChat.Write(_folder);

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_graph_that_is_none()
    {
        var pointer = _folder.File("lfs.onnx", "version https://git-lfs.github.com/spec/v1\n");
        Assert.Contains("git lfs pull", Refused(_folder, "a Git LFS pointer", "inspect", pointer), StringComparison.Ordinal);
        Refused(_folder, "found JSON text", "inspect", _folder["data.jsonl"]);
        Refused(_folder, "or safetensors", "inspect", _folder["model/model.safetensors"]);
    }

    [Theory]
    [InlineData("train")]
    [InlineData("generate")]
    [InlineData("export")]
    public void A_name_on_a_hub(string verb)
    {
        string[] arguments = verb switch
        {
            "train" => ["train", "--model", "nobody/model-7b", "--data", _folder["data.jsonl"], "-o", _folder["run"]],
            "export" => ["export", "nobody/model-7b", "-o", _folder["out"]],
            _ => ["generate", "nobody/model-7b", "--prompt", "a"],
        };
        Refused(_folder, "a name on a hub is none", arguments);
    }

    [Fact]
    public void Weights_that_are_none()
    {
        string[] Train(string model) => ["train", "--model", _folder[model], "--data", _folder["data.jsonl"], "-o", _folder["run"]];
        Directory.CreateDirectory(_folder["adapter"]);
        _folder.File("adapter/adapter_config.json", "{}");
        Refused(_folder, "an adapter alone", Train("adapter"));
        File.Delete(_folder["model/model.safetensors"]);
        foreach (var (file, found) in (IEnumerable<(string, string)>)[("x.safetensors", "other safetensors"), ("x.gguf", "a GGUF file"),
            ("pytorch_model.bin", "a pickle"), ("adapter_model.safetensors", "an adapter alone")])
        {
            _folder.File($"model/{file}", "x");
            Refused(_folder, found, Train("model"));
        }
    }

    /// <summary>No other tokenizer takes the place of one that is not there.</summary>
    [Theory]
    [InlineData("data.jsonl", "a file")]
    [InlineData("nowhere", "no such folder")]
    [InlineData("", "another folder")]
    public void A_tokenizer_that_is_none(string path, string found) => Refused(_folder, found,
        "train", "--model", _folder["model"], "--data", _folder["data.jsonl"], "-o", _folder["run"], "--tokenizer", _folder[path]);
}
