using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace Halo.Tests.Runner.Distributed;

/// <summary>A rank that was stopped, and goes on when the others have given it up.</summary>
public sealed class StoppedRankTests
{
    private const int Ranks = 2;

    /// <summary>The others have said which rank is stopped: what it finds when it goes on is their end, and it ends without a word.</summary>
    [Fact]
    public async Task A_rank_that_goes_on_too_late_ends_without_a_word()
    {
        using var folder = new TemporaryFolder();
        var (data, run) = (Path.Combine(folder.Path, "rows.jsonl"), Path.Combine(folder.Path, "run"));
        File.WriteAllLines(data, Enumerable.Range(0, 8).Select(i =>
            $$"""{"messages": [{"role": "user", "content": "{{i}}?"}, {"role": "assistant", "content": "{{i * 7}}!"}]}"""));
        var port = FreePort();
        var ranks = Enumerable.Range(0, Ranks).Select(rank => Started(rank, port, data, run)).ToList();
        try
        {
            var said = ranks.ConvertAll(rank => rank.StandardError.ReadToEndAsync());
            var metrics = Path.Combine(run, "metrics.jsonl");
            while (!ranks[0].HasExited && (!File.Exists(metrics) || File.ReadLines(metrics).Count() < 2))
                await Task.Delay(50);
            Send("STOP", ranks[1]);
            await ranks[0].WaitForExitAsync();
            Send("CONT", ranks[1]);
            await ranks[1].WaitForExitAsync();
            Assert.Matches($@"error: .*found nothing from rank 1 \(process {ranks[1].Id}, which is stopped\)", await said[0]);
            Assert.NotEqual(0, ranks[1].ExitCode);
            Assert.DoesNotContain("error", await said[1], StringComparison.Ordinal);
        }
        finally
        {
            ranks.Where(rank => !rank.HasExited).ToList().ForEach(rank => rank.Kill());
        }
    }

    /// <summary>As torchrun starts them.</summary>
    private static Process Started(int rank, int port, string data, string run)
    {
        string[] arguments = ["train", "--model", Halo.Models.Bundled.LlamaTiny.Folder, "--data", data, "-o", run, "--batch-size", "4",
            "--micro-batch-size", "2", "--sequence-length", "64", "--steps", "2000", "--threads", "1", "--rank-timeout", "5"];
        var start = new ProcessStartInfo("dotnet", [Path.Combine(AppContext.BaseDirectory, "halo.dll"), .. arguments]) { RedirectStandardError = true };
        foreach (var (name, value) in new[] { ("RANK", $"{rank}"), ("LOCAL_RANK", $"{rank}"), ("WORLD_SIZE", $"{Ranks}"), ("LOCAL_WORLD_SIZE", $"{Ranks}"),
            ("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", $"{port}"), ("NO_COLOR", "1") })
            start.Environment[name] = value;
        return Process.Start(start)!;
    }

    private static void Send(string signal, Process to)
    {
        using var kill = Process.Start("kill", [$"-{signal}", $"{to.Id}"]);
        kill.WaitForExit();
    }

    /// <summary>Ranks meet at the port behind it.</summary>
    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port - 1;
    }
}
