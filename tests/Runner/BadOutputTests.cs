using static Halo.Tests.Runner.HaloConsole;

namespace Halo.Tests.Runner;

/// <summary>Places where the output must not or cannot go.</summary>
public class BadOutputTests
{
    [Fact]
    public void A_folder_that_is_not_ours_is_refused()
    {
        using var folder = new TemporaryFolder();
        var model = TinyChat.Write(folder);
        Directory.CreateDirectory(folder["theirs"]);
        folder.File("theirs/thesis.tex", "\\end{document}");
        folder.File("file", "text");
        foreach (var output in new[] { folder["theirs"], folder["file"], folder["model"] })
        {
            Refused(folder, output, ["train", .. model, "--data", folder["data.jsonl"], "-o", output]);
            Refused(folder, output, ["prepare", .. model, "-o", output]);
        }
    }

    [Fact]
    public void A_missing_folder_is_made_and_an_unwritable_one_refused()
    {
        using var folder = new TemporaryFolder();
        var model = TinyChat.Write(folder);
        Succeed("rewrite", TinyChat.Graph, "-o", folder["a/b/out.onnx"], "--report", folder["c/d/report.json"]);
        Assert.True(File.Exists(folder["a/b/out.onnx"]) && File.Exists(folder["c/d/report.json"]));
        var file = folder.File("file", "text"); // no folder can be made below it, not even by root
        var weights = ExportFixture.File(TinyChat.Export, "model.safetensors");
        var batch = ExportFixture.File(TinyChat.Export, "expected.safetensors");
        foreach (var place in new[] { file, "/proc/self/nowhere" })
        {
            Refused(folder, "out.onnx", "rewrite", TinyChat.Graph, "-o", Path.Combine(place, "out.onnx"));
            Refused(folder, "out.safetensors", "step", TinyChat.Graph, "--params", weights, "--batch", batch, "-o", Path.Combine(place, "out.safetensors"));
            Refused(folder, Path.Combine(place, "run"), ["train", .. model, "--data", folder["data.jsonl"], "-o", Path.Combine(place, "run")]);
            Refused(folder, Path.Combine(place, "artifact"), ["prepare", .. model, "-o", Path.Combine(place, "artifact")]);
        }
        Refused(folder, folder["a"], "rewrite", TinyChat.Graph, "-o", folder["a"]); // a folder where a file goes
    }

    /// <summary>By its own name, through a link to it, through a link to its folder: what is read is not what is written.</summary>
    [Fact]
    public void An_output_is_no_input()
    {
        using var folder = new TemporaryFolder();
        using var links = new TemporaryFolder();
        string[] model = TinyChat.Write(folder);
        var (graph, weights) = (folder["training.onnx"], folder["model/model.safetensors"]);
        var batch = folder["batch.safetensors"];
        File.Copy(ExportFixture.File(TinyChat.Export, "expected.safetensors"), batch);
        File.CreateSymbolicLink(folder["link.onnx"], graph);
        Directory.CreateSymbolicLink(links["here"], folder.Path);
        foreach (var same in (string[])[graph, folder["link.onnx"], links["here/training.onnx"], folder["model/../training.onnx"]])
        {
            Refused(folder, "the input itself", "rewrite", graph, "-o", same);
            Refused(folder, "the input itself", "rewrite", graph, "-o", folder["out.onnx"], "--report", same);
            Refused(folder, "the input itself", "gradient", graph, "-o", same, "--batch", "1", "--sequence", "8");
            Refused(folder, "the input itself", "step", same, "--params", weights, "--batch", batch, "-o", graph);
        }
        Refused(folder, "the same", "rewrite", graph, "-o", folder["out.onnx"], "--report", links["here/out.onnx"]);
        Refused(folder, "the input itself", "step", graph, "--params", weights, "--batch", batch, "-o", links["here/batch.safetensors"]);
        Refused(folder, "the input itself", "step", graph, "--params", weights, "--batch", batch, "-o", folder["o"], "--steps", "1", "--save-params", weights);
        Refused(folder, "the input itself", ["train", .. model, "--data", folder["data.jsonl"], "-o", links["here/model"]]);

        Succeed(["prepare", .. model, "-o", folder["artifact"]]);
        Refused(folder, "a folder around", "prepare", "--model", graph, "--weights", folder["artifact/checkpoint"], "-o", links["here/artifact"]);
        Succeed("export", folder["artifact"], "-o", folder["hf"], "--to", "hf", "--prompts", "1");
        Refused(folder, "the input itself", "export", folder["hf"], "-o", links["here/hf"], "--to", "hf");
    }

    /// <summary>What takes a second to be found wrong is said before a graph is built or rewritten.</summary>
    [Fact]
    public void Tokenizer_data_and_output_come_before_the_graph()
    {
        using var folder = new TemporaryFolder();
        string[] model = TinyChat.Write(folder);
        folder.File("training.onnx", "no graph");
        folder.File("bad.jsonl", TinyChat.Rows + "{}\n");
        Directory.CreateDirectory(folder["theirs"]);
        folder.File("theirs/thesis.tex", "x");
        Refused(folder, "theirs", ["prepare", .. model, "-o", folder["theirs"]]);
        string[] train = ["train", "--model", folder["model"], "-o", folder["run"]];
        using var count = new Plans.GraphCount();
        Refused(folder, "line 10", [.. train, "--data", folder["bad.jsonl"]]);
        Refused(folder, "nowhere.jsonl", [.. train, "--data", folder["data.jsonl"], "--valid", folder["nowhere.jsonl"]]);
        File.WriteAllText(folder["model/tokenizer.json"], "{}");
        Refused(folder, "tokenizer.json", [.. train, "--data", folder["data.jsonl"]]);
        Assert.Empty(count.Built);
    }
}
