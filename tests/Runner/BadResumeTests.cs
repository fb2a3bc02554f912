using static Halo.Tests.Runner.HaloConsole;

namespace Halo.Tests.Runner;

/// <summary>Runs that cannot be begun again or gone on with.</summary>
public class BadResumeTests
{
    [Fact]
    public void A_run_is_gone_on_with_as_it_began_or_not_at_all()
    {
        using var folder = new TemporaryFolder();
        var model = TinyChat.Write(folder);
        string[] train = ["train", .. model, "--data", folder["data.jsonl"], "-o", folder["run"]];
        Succeed([.. train, "--steps", "2", "--save-every", "1"]);
        string[] resume = ["train", "--resume", "-o", folder["run"]];

        Refused(folder, "Give --resume", train);
        Refused(folder, "Give --resume", ["train", .. model, "--data", folder["data.jsonl"], "-o", folder["run"] + "/"]);
        Refused(folder, "--learning-rate", [.. resume, "--learning-rate", "1"]);
        Refused(folder, "--data", [.. resume, "--data", folder["data.jsonl"]]);
        Refused(folder, "--dry-run", [.. resume, "--dry-run"]);
        Refused(folder, "--config", [.. resume, "--config", folder["run/config.yaml"]]);
        Refused(folder, "another folder", "train", "--resume", "-o", folder["model"]);
        Refused(folder, "no such folder", "train", "--resume", "-o", folder["nowhere"]);
        Refused(folder, "another folder", "train", "--resume", "-o", folder["run/artifact"]);
        Refused(folder, "--output", "train", "--resume");

        folder.File("data.jsonl", TinyChat.Rows.Replace("0?", "1?", StringComparison.Ordinal));
        Refused(folder, "other content", resume);
        File.Delete(folder["data.jsonl"]);
        Refused(folder, "data.jsonl", resume);
        folder.File("data.jsonl", TinyChat.Rows);

        // The newest checkpoint damaged: the message says which folder to remove, and removing it helps.
        var state = folder.File("run/checkpoints/step-00000002/state.json", "{");
        Refused(folder, state, resume);
        Directory.Delete(Path.GetDirectoryName(state)!, recursive: true);
        var weights = folder["run/checkpoints/step-00000001/model.safetensors"];
        var whole = File.ReadAllBytes(weights);
        File.WriteAllBytes(weights, whole[..^100]);
        Refused(folder, weights, resume);
        File.WriteAllBytes(weights, whole);
        File.AppendAllText(folder["run/config.yaml"], "speed: 9\n");
        Refused(folder, "speed", resume);
        File.WriteAllText(folder["run/config.yaml"], File.ReadAllText(folder["run/config.yaml"]).Replace("speed: 9\n", "", StringComparison.Ordinal));
        Assert.Contains("done: 2 steps", Succeed(resume), StringComparison.Ordinal);
    }

    /// <summary>A process killed between settings and marker, where the folder was there already, leaves what the next start takes for its own.</summary>
    [Fact]
    public void What_a_killed_start_left_is_begun_again()
    {
        using var folder = new TemporaryFolder();
        string[] train = ["train", .. TinyChat.Write(folder), "--data", folder["data.jsonl"], "-o", folder["run"], "--steps", "1"];
        Directory.CreateDirectory(folder["run"]);
        folder.File("run/config.yaml", "speed: 9");
        folder.File("run/.halo.json.99999.partial", "{");
        Assert.Contains("done: 1 steps", Succeed(train), StringComparison.Ordinal);
        Assert.False(File.Exists(folder["run/.halo.json.99999.partial"]));

        Directory.CreateDirectory(folder["other"]);
        folder.File("other/config.yaml", "speed: 9");
        folder.File("other/notes.txt", "mine");
        Refused(folder, "no run of Halo's", [.. train[..^3], folder["other"], "--steps", "1"]);
    }
}
