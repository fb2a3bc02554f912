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
}
