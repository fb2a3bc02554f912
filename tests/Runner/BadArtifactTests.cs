using System.Text.Json.Nodes;
using static Halo.Tests.Runner.HaloConsole;

namespace Halo.Tests.Runner;

/// <summary>Artifacts that are not what was prepared are noticed before anything runs.</summary>
public class BadArtifactTests
{
    [Fact]
    public void An_artifact_is_held_to_its_manifest()
    {
        using var folder = new TemporaryFolder();
        string[] model = TinyChat.Write(folder);
        Succeed(["prepare", .. model, "-o", folder["artifact"]]);
        string[] eval = ["eval", "--model", folder["artifact"], "--data", folder["data.jsonl"]];
        Succeed(eval);

        foreach (var name in new[] { "training_model.onnx", "eval_model.onnx", "optimizer_model.onnx", "forward_model.onnx", "checkpoint/config.json" })
        {
            var file = folder[$"artifact/{name}"];
            var whole = File.ReadAllBytes(file);
            var changed = whole.ToArray();
            changed[^1] ^= 1;
            File.WriteAllBytes(file, changed);
            Refused(folder, file, eval);
            File.WriteAllBytes(file, whole);
        }

        var manifest = folder["artifact/manifest.json"];
        var text = File.ReadAllText(manifest);
        foreach (var key in new[] { "rows", "parameters", "ledger", "linears", "skipped", "files", "weights" })
        {
            var without = JsonNode.Parse(text)!.AsObject();
            Assert.True(without.Remove(key));
            File.WriteAllText(manifest, without.ToJsonString());
            Refused(folder, $"'{key}'", eval);
        }
        foreach (var name in new[] { "training_model.onnx", "checkpoint/config.json", "checkpoint/tokenizer.json" })
        {
            var without = JsonNode.Parse(text)!.AsObject();
            Assert.True(without["files"]!.AsObject().Remove(name));
            File.WriteAllText(manifest, without.ToJsonString());
            Refused(folder, $"{name}: expected the files", eval);
        }
        File.WriteAllText(manifest, text);
        var added = folder.File("artifact/checkpoint/generation_config.json", "{\"eos_token_id\": 7}");
        Refused(folder, added, eval);
        File.Delete(added);
        foreach (var other in new[] { "null", "[]", "{" })
        {
            File.WriteAllText(manifest, other);
            Refused(folder, manifest, eval);
        }
        File.WriteAllText(manifest, text);
        Succeed(eval);
    }
}
