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

    private string Made(string name)
    {
        var folder = Directory.CreateDirectory(_folder[name]).FullName;
        File.WriteAllText(Path.Combine(folder, "half"), "");
        return folder;
    }
}
