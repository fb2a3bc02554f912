using Halo.Io;
using Halo.Tests.Runner;
using Xunit.Abstractions;

namespace Halo.Tests.Io;

public class FilePlacementTests(ITestOutputHelper output)
{
    [Fact]
    public void A_small_file_gets_a_content_of_its_own()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder["a"], "first");
        Assert.NotEqual(PlacedAs.Link, FilePlacement.Put(folder["a"], folder["b"]));
        File.WriteAllText(folder["a"], "other");
        Assert.Equal("first", File.ReadAllText(folder["b"]));
    }

    [Fact]
    public void A_large_file_is_not_read_and_stays_when_its_first_name_goes()
    {
        using var folder = new TemporaryFolder();
        const long Size = 1L << 36; // zeros, as a hole
        using (var file = File.Create(folder["large"]))
        {
            file.SetLength(Size);
            file.Seek(-4, SeekOrigin.End);
            file.Write("tail"u8);
        }
        File.CreateSymbolicLink(folder["name"], folder["large"]);
        Assert.NotEqual(PlacedAs.Copy, FilePlacement.Put(folder["name"], folder["placed"]));
        File.Delete(folder["large"]);
        using var placed = File.OpenRead(folder["placed"]);
        Assert.Equal(Size, placed.Length);
        var tail = new byte[4];
        placed.Seek(-4, SeekOrigin.End);
        placed.ReadExactly(tail);
        Assert.Equal("tail"u8.ToArray(), tail);
    }

    [Fact]
    public void On_another_file_system_it_is_copied()
    {
        using var disk = SmallDisk.Mount(64, output);
        if (disk is null)
            return;
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder["a"], "content");
        Assert.Equal(PlacedAs.Copy, FilePlacement.Put(folder["a"], disk["b"], copiedBytes: 1));
        Assert.Equal("content", File.ReadAllText(disk["b"]));
    }

    [Fact]
    public void What_is_there_is_not_overwritten()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder["a"], "a");
        File.WriteAllText(folder["b"], "b");
        Assert.ThrowsAny<IOException>(() => FilePlacement.Put(folder["a"], folder["b"]));
        Assert.Equal("b", File.ReadAllText(folder["b"]));
    }
}
