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

    /// <summary>A pipe would be waited for without end, and a rename would take the place of a device.</summary>
    [Fact]
    public void A_pipe_is_no_file_to_read_or_to_replace()
    {
        if (!OperatingSystem.IsLinux())
            return;
        var pipe = _folder["pipe"];
        using (var process = System.Diagnostics.Process.Start("mkfifo", pipe))
            process.WaitForExit();
        string[] train = ["train", "--model", _folder["training.onnx"], "--weights", _folder["model"], "-o", _folder["run"]];
        string[][] lines =
        [
            [.. train, "--data", pipe], [.. train, "--data", _folder["data.jsonl"], "--valid", pipe], [.. train, "--config", pipe],
            ["train", "--model", _folder["training.onnx"], "--weights", pipe, "--tokenizer", _folder["model"], "--data", _folder["data.jsonl"],
                "-o", _folder["run"]],
            ["eval", "--model", _folder["training.onnx"], "--weights", _folder["model"], "--data", pipe], ["inspect", pipe],
            ["step", _folder["training.onnx"], "--params", pipe, "--batch", pipe, "-o", _folder["out"]],
        ];
        foreach (var line in lines)
            Assert.Contains("a regular file, found a pipe or device", InTime(line), StringComparison.Ordinal);
        foreach (var (output, kind) in ((string, string)[])[(pipe, "a pipe or device"), ("/dev/null", "a pipe or device"), (_folder["model"], "a folder")])
        {
            Assert.Contains($"a file, or nothing yet, found {kind}", InTime("rewrite", _folder["training.onnx"], "-o", output), StringComparison.Ordinal);
        }
        foreach (var name in (string[])["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"])
        {
            File.Move(_folder[$"model/{name}"], _folder["kept"]);
            File.CreateSymbolicLink(_folder[$"model/{name}"], pipe);
            Assert.Contains("a regular file, found a pipe or device", InTime("generate", _folder["model"], "--prompt", "a"), StringComparison.Ordinal);
            File.Delete(_folder[$"model/{name}"]);
            File.Move(_folder["kept"], _folder[$"model/{name}"]);
        }
        File.CreateSymbolicLink(_folder["circle"], "circle");
        Assert.Contains("levels of symbolic links", InTime("eval", "--model", _folder["circle"], "--data", _folder["data.jsonl"]), StringComparison.Ordinal);

        static string InTime(params string[] line)
        {
            var running = Task.Run(() => Message("found", line, Run(line)));
            return running.Wait(TimeSpan.FromSeconds(60)) ? running.Result : $"halo {string.Join(' ', line)} waits";
        }
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
