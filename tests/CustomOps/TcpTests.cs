using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text.RegularExpressions;
using Halo.CustomOps;

namespace Halo.Tests.CustomOps;

/// <summary>Collectives between processes that find each other at an address, by the native check program.</summary>
public class TcpTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(4)]
    public void Collectives_of_processes_are_exact_and_count_their_bytes(int ranks)
    {
        var outputs = Run(ranks, "exact", 25);
        Assert.All(outputs, (output, rank) => Assert.Equal((0, $"rank {rank} of {ranks}: ok\n"), output));
    }

    /// <summary>Rank 1 of three; the others' messages name it, the collective and the cause.</summary>
    [Theory]
    [InlineData("fails", "found rank 1: no space is left on the disk")]
    [InlineData("differs", "rank 1")]
    [InlineData("stops", "within 1 s, found nothing from rank 1")]
    [InlineData("stops at work", @"expected all ranks in work \(sizes\) within 1 s, found nothing from rank 1 \(process \d+, which is stopped\)")]
    [InlineData("dies", @"found rank 1 \(process \d+\), which has ended")]
    public void A_rank_that_is_lost_ends_all(string part, string cause)
    {
        var outputs = Run(3, part, 1);
        Assert.All(outputs.Where((_, rank) => rank != 1), output =>
        {
            Assert.Equal(3, output.ExitCode);
            Assert.Contains(part == "stops at work" ? "work" : "AllGatherStart 'gather ", output.Text, StringComparison.Ordinal);
        });
        Assert.Contains(outputs, output => Regex.IsMatch(output.Text, cause));
        Assert.Contains("(says it)", outputs[part == "fails" ? 1 : 0].Text, StringComparison.Ordinal);
        Assert.InRange(outputs.Count(output => output.Text.Contains("(says it)", StringComparison.Ordinal)), 1, 2); // twice where one was not answered in time
    }

    [Fact]
    public void Ranks_of_this_process_meet_and_gather()
    {
        var port = FreePort();
        var lengths = new int[3][];
        CollectiveTests.Parallel(3, rank =>
        {
            using var ranks = Communicator.Tcp("localhost", port, rank, 3, 1);
            lengths[rank] = [.. ranks.Gather("words", new byte[rank * 10]).Select(bytes => bytes.Length)];
        });
        Assert.All(lengths, all => Assert.Equal([0, 10, 20], all));
    }

    [Fact]
    public void A_rank_alone_says_who_does_not_come()
    {
        var error = Assert.Throws<HaloException>(() => Communicator.Tcp("127.0.0.1", FreePort(), 0, 2, 1, timeoutSeconds: 0.2));
        Assert.Contains("expected all ranks to connect in time", error.Message, StringComparison.Ordinal);
        error = Assert.Throws<HaloException>(() => Communicator.Tcp("127.0.0.1", FreePort(), 1, 2, 1, timeoutSeconds: 0.2));
        Assert.Contains("expected somebody at 127.0.0.1", error.Message, StringComparison.Ordinal);
        Assert.Contains("HOST:PORT", Assert.Throws<HaloException>(() => Communicator.Tcp("127.0.0.1", 0, 0, 2, 1)).Message, StringComparison.Ordinal);
    }

    private static (int ExitCode, string Text)[] Run(int ranks, string part, int timeoutSeconds)
    {
        var port = FreePort();
        var processes = Enumerable.Range(0, ranks).Select(rank => Process.Start(new ProcessStartInfo(MpiTests.Program.Value,
            [part, $"{timeoutSeconds}", port.ToString(CultureInfo.InvariantCulture), $"{rank}", $"{ranks}"])
        { RedirectStandardOutput = true })!).ToList();
        if (part.StartsWith("stops", StringComparison.Ordinal)) // the others end; it would wait for ever
        {
            Assert.True(processes[0].WaitForExit(30_000) && processes[2].WaitForExit(30_000));
            processes[1].Kill();
        }
        var outputs = processes.Select(process => process.StandardOutput.ReadToEnd()).ToArray();
        processes.ForEach(process => process.WaitForExit());
        return [.. processes.Zip(outputs, (process, output) => (process.ExitCode, output))];
    }

    /// <summary>Below those that systems give to whoever asks for any, of which another test could get it before rank 0 listens.</summary>
    private static int FreePort()
    {
        while (true)
        {
            var port = Random.Shared.Next(20_000, 30_000);
            using var listener = new TcpListener(IPAddress.Any, port);
            try
            {
                listener.Start();
                return port;
            }
            catch (SocketException)
            {
                // taken: another
            }
        }
    }
}
