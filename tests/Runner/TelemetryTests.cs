namespace Halo.Tests.Runner;

public class TelemetryTests
{
    /// <summary>ONNX Runtime keeps a device id and a database of events under the user's home unless it is told not to.</summary>
    [Fact]
    public void Nothing_is_written_under_the_users_home()
    {
        var (output, kept) = Doctor(null);
        Assert.Contains("off (ORT_DISABLE_TELEMETRY=1)", output, StringComparison.Ordinal);
        Assert.Empty(kept);
    }

    [Fact]
    public void What_the_user_has_set_stays()
    {
        var (output, kept) = Doctor("0");
        Assert.Contains("ORT_DISABLE_TELEMETRY=0, as the environment has it", output, StringComparison.Ordinal);
        Assert.Contains(kept, file => file.Contains("onnxruntime", StringComparison.Ordinal)); // else the other test shows nothing
    }

    private static (string Output, IReadOnlyList<string> Kept) Doctor(string? setting)
    {
        using var home = new TemporaryFolder();
        var (exitCode, output, error) = HaloProcess.RunWith(new Dictionary<string, string?>
        {
            ["HOME"] = home.Path,
            ["XDG_CACHE_HOME"] = null,
            ["CI"] = null, // which switches it off as well
            ["ORT_DISABLE_TELEMETRY"] = setting,
        }, "doctor");
        Assert.True(exitCode == 0, error);
        return (output, [.. Directory.EnumerateFiles(home.Path, "*", SearchOption.AllDirectories)]);
    }
}
