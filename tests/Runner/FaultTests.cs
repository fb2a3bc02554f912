using System.Diagnostics;
using Xunit.Abstractions;

namespace Halo.Tests.Runner;

/// <summary>The campaigns of tests/Faults in small: one operation on files goes wrong, by a library that is loaded before all others.</summary>
public sealed class FaultTests : IDisposable
{
    private const int Killed = 137;

    private readonly TemporaryFolder _folder = new();
    private readonly ITestOutputHelper _output;
    private readonly string? _library;

    public FaultTests(ITestOutputHelper output)
    {
        _output = output;
        Directory.CreateDirectory(_folder["place"]);
        _library = Build();
    }

    public void Dispose() => _folder.Dispose();

    /// <summary>Killed or refused at any of its operations, a rewrite leaves the old graph or the new one, and the next one removes what is left.</summary>
    [Fact]
    public void A_file_is_the_old_one_or_the_new_one()
    {
        if (_library is null)
            return;
        var target = _folder["place/out.onnx"];
        string[] Rewrite(string pipeline) => ["rewrite", TinyChat.Graph, "-o", target, "--pipeline", pipeline];
        HaloConsole.Succeed(Rewrite("remove-dead-code"));
        var old = File.ReadAllBytes(target);
        var log = Operations(Rewrite("fold-constants"));
        var made = File.ReadAllBytes(target);
        Assert.Equal(["create", "write", "fsync", "rename", "fsync"], log.Select(o => o.Name));
        (string Kind, int At)[] faults = [("kill", 2), ("half", 2), ("after", 4), ("eio", 1), ("enospc", 2), ("eio", 3), ("erofs", 4), ("kill", 4)];
        foreach (var (kind, at) in faults)
        {
            foreach (var left in Directory.GetFiles(_folder["place"]))
                File.Delete(left); // removing them would count
            File.WriteAllBytes(target, old);
            var (exitCode, _, error) = Run(Rewrite("fold-constants"), kind, at);
            Assert.Equal(kind is "kill" or "half" or "after" ? Killed : 2, exitCode);
            Assert.Equal(kind == "after" ? made : old, File.ReadAllBytes(target));
            if (exitCode == 2)
                Assert.Contains("write: ", error, StringComparison.Ordinal);
        }
        Assert.Equal(2, Directory.GetFiles(_folder["place"]).Length);
        HaloConsole.Succeed(Rewrite("fold-constants"));
        Assert.Equal([target], Directory.GetFileSystemEntries(_folder["place"]));
    }

    /// <summary>Killed around its one exchange of names, a folder is whole under its name.</summary>
    [Theory]
    [InlineData("kill")]
    [InlineData("after")]
    public void A_folder_is_the_old_one_or_the_new_one(string kind)
    {
        if (_library is null)
            return;
        var model = TinyChat.Write(_folder);
        string[] Prepare(params string[] more) => ["prepare", .. model, "-o", _folder["place/out"], .. more];
        HaloConsole.Succeed(Prepare());
        var old = HaloConsole.Files(_folder["place/out"]);
        var log = Operations(Prepare("--scheme", "halo-1", "--format", "fp8"));
        var exchange = log.FindLastIndex(o => o.Name == "rename" && o.Path == _folder["place/out"]) + 1;
        var made = HaloConsole.Files(_folder["place/out"]);
        HaloConsole.Succeed(Prepare());
        Assert.Equal(Killed, Run(Prepare("--scheme", "halo-1", "--format", "fp8"), kind, exchange).ExitCode);
        Assert.Equal(kind == "kill" ? old : made, HaloConsole.Files(_folder["place/out"]));
        Assert.Equal(2, Directory.GetFileSystemEntries(_folder["place"]).Length);
        HaloConsole.Succeed(Prepare());
        Assert.Equal([_folder["place/out"]], Directory.GetFileSystemEntries(_folder["place"]));
    }

    /// <summary>What a power loss would take must not be what an older checkpoint was deleted for: files, folder and name are synced before.</summary>
    [Fact]
    public void A_checkpoint_is_on_the_disk_before_an_older_one_goes()
    {
        if (_library is null)
            return;
        string[] train = ["train", .. TinyChat.Write(_folder), "--data", _folder["data.jsonl"], "-o", _folder["place/run"], "--steps", "3", "--save-every", "1",
            "--keep-checkpoints", "1"];
        var log = Operations(train);
        var checkpoints = _folder["place/run/checkpoints"];
        foreach (var step in (int[])[2, 3])
        {
            var named = log.FindIndex(o => o.Name == "rename" && o.Path == $"{checkpoints}/step-{step:D8}");
            var synced = log.FindIndex(named, o => o.Name == "fsync" && o.Path == checkpoints);
            var gone = log.FindIndex(o => o.Name == "rename" && Path.GetDirectoryName(o.Path) == checkpoints
                && Path.GetFileName(o.Path).StartsWith($".step-{step - 1:D8}.", StringComparison.Ordinal));
            Assert.True(0 < named && named < synced && synced < gone, $"step {step}: named {named}, synced {synced}, the older one gone {gone}");
            foreach (var file in (string[])["model.safetensors", "optimizer.safetensors", "state.json", "halo.json", ""])
                Assert.Contains(log[..named], o => o.Name == "fsync" && o.Path.StartsWith($"{checkpoints}/.step-{step:D8}.", StringComparison.Ordinal)
                    && o.Path.Contains(file, StringComparison.Ordinal));
        }
        var weights = log.FindIndex(o => o.Name == "fsync" && o.Path.EndsWith("/checkpoint/model.safetensors", StringComparison.Ordinal));
        var artifact = log.FindIndex(o => o.Name == "rename" && o.Path == _folder["place/run/artifact"]);
        Assert.InRange(weights, 0, artifact); // the run's own copy, which no call of write made
    }

    /// <summary>Killed while it takes back what it began, a refused run leaves one that can be gone on with, or what the next start takes for its own.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_refused_run_that_is_killed_leaves_no_riddle(bool hadFolder)
    {
        if (_library is null)
            return;
        var run = _folder["place/run"];
        string[] right = ["train", .. TinyChat.Write(_folder), "--data", _folder["data.jsonl"], "-o", run, "--steps", "1"];
        string[] refused = [.. right, "--batch-size", "4", "--optimizer-in-backward", "true"]; // known when the artifact is there
        Begin();
        var (exitCode, _, error) = Run(refused, "", 0);
        Assert.True(exitCode == 2, error);
        var log = File.ReadLines(_folder["log"]).ToList();
        var made = log.FindLastIndex(o => o.Contains(" fsync ", StringComparison.Ordinal)) + 1; // what follows takes away
        Assert.InRange(log.Count - made, 5, 100);
        for (var at = made + 1; at <= log.Count; at += (log.Count - made) / 5)
        {
            Begin();
            Assert.Equal(Killed, Run(refused, "kill", at).ExitCode);
            if (File.Exists(Path.Combine(run, "halo.json")))
                Assert.Contains("expected one micro-batch an update", HaloConsole.Run("train", "--resume", "-o", run).Error, StringComparison.Ordinal);
            else
                HaloConsole.Succeed(right);
        }

        void Begin()
        {
            Directory.Delete(_folder["place"], recursive: true);
            Directory.CreateDirectory(hadFolder ? run : _folder["place"]);
        }
    }

    /// <summary>The operations below <c>place</c> of a run that succeeds.</summary>
    private List<(string Name, string Path)> Operations(string[] arguments)
    {
        var (exitCode, _, error) = Run(arguments, "", 0);
        Assert.True(exitCode == 0, error);
        return [.. File.ReadLines(_folder["log"]).Select(line => line.Split(' ', 3)).Select(parts => (parts[1], parts[2]))];
    }

    private (int ExitCode, string Output, string Error) Run(string[] arguments, string kind, int at)
    {
        File.Delete(_folder["log"]);
        return HaloProcess.RunWith(new Dictionary<string, string?>
        {
            ["LD_PRELOAD"] = _library,
            ["FAULT_UNDER"] = _folder["place"],
            ["FAULT_KIND"] = kind,
            ["FAULT_AT"] = $"{at}",
            ["FAULT_LOG"] = _folder["log"],
        }, arguments);
    }

    /// <summary>Null, with a reason on the test's output, where there is no compiler for it.</summary>
    private string? Build()
    {
        if (OperatingSystem.IsLinux())
        {
            try
            {
                var source = Path.Combine(RepositoryRoot.Path, "tests", "Faults", "faults.c");
                using var compiler = Process.Start("cc", ["-shared", "-fPIC", "-O1", "-o", _folder["faults.so"], source, "-ldl"]);
                compiler.WaitForExit();
                Assert.Equal(0, compiler.ExitCode);
                return _folder["faults.so"];
            }
            catch (System.ComponentModel.Win32Exception e)
            {
                _output.WriteLine($"skipped: cc: {e.Message}");
                return null;
            }
        }
        _output.WriteLine("skipped: libraries are loaded before others on Linux");
        return null;
    }
}
