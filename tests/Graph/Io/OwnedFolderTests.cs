using Halo.Io;

namespace Halo.Tests.Io;

public sealed class OwnedFolderTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    /// <summary>What a killed process left of the same target goes; what a running one writes, and other targets', stays.</summary>
    [Fact]
    public void Writing_removes_what_killed_processes_left()
    {
        var abandoned = Made($".out.{int.MaxValue}.partial");
        string[] kept = [Made($".out.1.partial"), Made($".other.{int.MaxValue}.partial"), Made($".out.v2.{int.MaxValue}.partial"), Made(".out.mine.partial")];
        OwnedFolder.Write(_folder["out"], "model", to => File.WriteAllText(Path.Combine(to, "a"), "a"));
        Assert.False(Directory.Exists(abandoned));
        Assert.All(kept, folder => Assert.True(File.Exists(Path.Combine(folder, "half")), folder));
        Assert.Equal("a", File.ReadAllText(_folder["out/a"]));
    }

    /// <summary>Numbers of processes come again: a name has the process's start as well, and this process began after the other.</summary>
    [Fact]
    public void What_an_earlier_process_of_the_same_number_left_goes_and_what_a_locked_folder_holds_stays()
    {
        var own = Environment.ProcessId;
        string[] gone = [Made($".out.{own}-1.partial"), Made($".out.{own}.partial"), _folder[$".out.{int.MaxValue}-5.partial"]];
        File.WriteAllText(gone[2], "of a file");
        var held = Made($".out.{int.MaxValue}-7.partial"); // of a container whose processes are not seen here
        using (FileLock.OfFolder(held))
            OwnedFolder.Write(_folder["out"], "model", _ => { });
        Assert.All(gone, path => Assert.False(Path.Exists(path), path));
        Assert.True(Directory.Exists(held));
        AtomicFile.WriteText(_folder["out/x"], "");
        OwnedFolder.Write(_folder["out"], "model", _ => { });
        Assert.False(Directory.Exists(held));
    }

    /// <summary>Whether names can be exchanged or not, a reader finds the old folder or the new one; a killed process's old one is brought back.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_folder_takes_the_place_of_another(bool exchanges)
    {
        foreach (var text in (string[])["old", "new"])
        {
            var made = Directory.CreateDirectory(_folder["made"]).FullName;
            File.WriteAllText(Path.Combine(made, "a"), text);
            FolderPlacement.Replace(made, _folder["out"], exchanges);
            Assert.Equal(text, File.ReadAllText(_folder["out/a"]));
        }
        Assert.Equal([_folder["out"]], Directory.GetFileSystemEntries(_folder.Path));
    }

    [Fact]
    public void What_a_process_killed_between_two_renames_put_aside_is_brought_back()
    {
        OwnedFolder.Write(_folder["out"], "model", to => File.WriteAllText(Path.Combine(to, "a"), "old"));
        Directory.Move(_folder["out"], _folder[$".out.{int.MaxValue}-1.partial.old"]);
        Made($".out.{int.MaxValue}-1.partial");
        Assert.Equal("model", OwnedFolder.KindOf(_folder["out"]));
        Assert.Equal("old", File.ReadAllText(_folder["out/a"]));
        OwnedFolder.Write(_folder["out"], "model", to => File.WriteAllText(Path.Combine(to, "a"), "new"));
        Assert.Equal([_folder["out"]], Directory.GetFileSystemEntries(_folder.Path));
    }

    /// <summary>Names of temporary files can be guessed: a link that waits under one leads nowhere.</summary>
    [Fact]
    public void Nothing_is_written_through_a_link()
    {
        var (file, folder) = (_folder["precious.txt"], Made("precious"));
        File.WriteAllText(file, "mine");
        File.CreateSymbolicLink(PartialFiles.For(_folder["r.onnx"]), file);
        Directory.CreateSymbolicLink(PartialFiles.For(_folder["out"]), folder);
        Assert.Throws<HaloException>(() => AtomicFile.WriteText(_folder["r.onnx"], "theirs"));
        Assert.Throws<HaloException>(() => OwnedFolder.Write(_folder["out"], "model", to => File.WriteAllText(Path.Combine(to, "half"), "theirs")));
        Assert.Equal(("mine", ""), (File.ReadAllText(file), File.ReadAllText(Path.Combine(folder, "half"))));
        Assert.False(Path.Exists(_folder["r.onnx"]) || Path.Exists(_folder["out"]));
    }

    [Fact]
    public void A_folder_that_is_to_be_new_does_not_replace_one()
    {
        Assert.Throws<HaloException>(() => OwnedFolder.Create(_folder["out"], "run", _ =>
        {
            Directory.CreateDirectory(_folder["out"]); // by another process, meanwhile
            File.WriteAllText(_folder["out/a"], "the first");
        }));
        Assert.Equal("the first", File.ReadAllText(_folder["out/a"]));
        Assert.Equal([_folder["out"]], Directory.GetFileSystemEntries(_folder.Path));
    }

    /// <summary>.NET's own call returns where fsync fails. A device file takes no fsync: EINVAL.</summary>
    [Fact]
    public void A_disk_that_does_not_take_what_was_written_is_an_error()
    {
        using var device = File.OpenHandle("/dev/null", FileMode.Open, FileAccess.Write);
        Assert.Contains("fsync", Assert.Throws<IOException>(() => DiskSync.File(device, "/dev/null")).Message, StringComparison.Ordinal);
    }

    private string Made(string name)
    {
        var folder = Directory.CreateDirectory(_folder[name]).FullName;
        File.WriteAllText(Path.Combine(folder, "half"), "");
        return folder;
    }
}
