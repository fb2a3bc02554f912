using System.Diagnostics;
using System.Globalization;

namespace Halo.Tests.CustomOps;

/// <summary>Runs where Open MPI's mpirun is on PATH, which <c>.ci/run</c> sees to.</summary>
public sealed class WithMpiAttribute : TheoryAttribute
{
    public WithMpiAttribute()
    {
        if (!Mpirun.IsThere)
            Skip = "needs Open MPI: mpirun is not on PATH (Debian: apt-get install openmpi-bin)";
    }
}

/// <summary>Processes that mpirun starts, more than there are cores, and as root.</summary>
public static class Mpirun
{
    /// <summary>Far below the hour that ranks may wait for work, far above the seconds that the tests' own limits are: a busy machine does not reach it.</summary>
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(5);

    public static bool IsThere { get; } = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Any(folder => File.Exists(Path.Combine(folder, "mpirun")));

    /// <summary>What they wrote (where one ends, the others have three seconds for it, not one, as machines that run tests are busy), and the exit code of mpirun: that of a process that failed.</summary>
    /// <remarks>Processes that do not end are ended after five minutes, and the test fails with what they wrote.</remarks>
    public static (int ExitCode, string Output) Run(int ranks, string program, params string[] arguments) => Run(ranks, null, program, arguments);

    /// <summary>The same; something is done to them as soon as one has written a line of errors.</summary>
    public static (int ExitCode, string Output) Run(int ranks, Action<Process>? act, string program, params string[] arguments) =>
        Run(ranks, act, waits: act is not null, program, arguments);

    /// <summary>The process of a rank, when it is there.</summary>
    public static int ProcessOf(Process mpirun, int rank)
    {
        for (var until = DateTime.UtcNow + Limit; ; Thread.Sleep(5))
        {
            var children = Directory.GetDirectories($"/proc/{mpirun.Id}/task").SelectMany(thread => File.ReadAllText(thread + "/children").Trim().Split(' '));
            if (children.FirstOrDefault(c => c.Length > 0 && File.ReadAllText($"/proc/{c}/environ").Split('\0').Contains($"OMPI_COMM_WORLD_RANK={rank}")) is { } found)
                return int.Parse(found, CultureInfo.InvariantCulture);
            Assert.True(DateTime.UtcNow < until && !mpirun.HasExited, $"mpirun started no rank {rank}");
        }
    }

    /// <param name="ranks">How many there are.</param>
    /// <param name="act">Done to mpirun.</param>
    /// <param name="waits">Until one has written a line of errors; else it is done at once.</param>
    /// <param name="program">Of each rank.</param>
    /// <param name="arguments">Of the program.</param>
    public static (int ExitCode, string Output) Run(int ranks, Action<Process>? act, bool waits, string program, params string[] arguments)
    {
        var start = new ProcessStartInfo("mpirun", ["-np", $"{ranks}", "--oversubscribe", "--mca", "odls_base_sigkill_timeout", "3", program, .. arguments])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            Environment = { ["OMPI_ALLOW_RUN_AS_ROOT"] = "1", ["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] = "1", ["ASAN_OPTIONS"] = "detect_leaks=0" }, // those of MPI
        };
        using var process = Process.Start(start)!;
        using var limit = new Timer(_ => process.Kill(entireProcessTree: true), null, Limit, Timeout.InfiniteTimeSpan);
        var watch = Stopwatch.StartNew();
        var first = !waits ? "" : process.StandardError.ReadLine() + '\n';
        act?.Invoke(process);
        var error = process.StandardError.ReadToEndAsync();
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.True(watch.Elapsed < Limit, $"{program} {string.Join(' ', arguments)} did not end:\n{output}{first}{error.Result}");
        return (process.ExitCode, output + first + error.Result);
    }
}

/// <summary>Collectives between processes, by the native check program.</summary>
public class MpiTests
{
    /// <summary>The check program, built at first use.</summary>
    internal static Lazy<string> Program { get; } = new(() => Path.Combine(
        NativeBuild.Build("native-check", "halo-comm-check", "-DHALO_SANITIZE=address,undefined"), "halo-comm-check"));

    [WithMpi]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void Collectives_of_processes_are_exact_and_count_their_bytes(int ranks)
    {
        var (code, output) = Run(ranks, "exact");
        Assert.True(code == 0, output);
        Assert.All(Enumerable.Range(0, ranks), rank => Assert.Contains($"rank {rank} of {ranks}: ok", output, StringComparison.Ordinal));
    }

    /// <summary>Rank 1 of three fails, does something else, is stopped; the others' messages name it, the collective and the cause.</summary>
    [WithMpi]
    [InlineData("fails", "rank 1: no space is left on the disk")]
    [InlineData("differs", "expected rank 1 in AllGatherStart 'gather 1'")]
    [InlineData("stops", "which is stopped")]
    public void A_rank_that_is_lost_ends_all(string part, string cause)
    {
        var (code, output) = Run(3, part, "1");
        Assert.True(code == 3, output);
        Assert.Contains(cause, output, StringComparison.Ordinal);
        Assert.Contains("AllGatherStart 'gather ", output, StringComparison.Ordinal);
        SaidOnce(output);
    }

    /// <summary>MPI_Init_thread waits for it and knows no limit: one of the others says so and ends, and mpirun ends all, the one that is stopped too.</summary>
    [WithMpi]
    [InlineData(2)]
    [InlineData(3)]
    public void A_rank_that_is_stopped_before_it_meets_the_others_ends_all(int ranks)
    {
        var (code, output) = Run(ranks, "stops before it meets", "4"); // more than the launcher leaves them when one has ended
        Assert.Equal(1, code);
        var messages = output.Split('\n').Where(line => line.StartsWith("expected ", StringComparison.Ordinal)).ToList();
        Assert.NotEmpty(messages); // others may follow in the 3 s that the launcher leaves them here, which lets the stopped one go on before it ends it
        Assert.Matches(@"expected all ranks in MPI_Init_thread within 4 s, found nothing from rank 1 \(process \d+, which is stopped\)\.", messages[0]);
    }

    /// <summary>The others wait an hour for work that is done for them, but not for one that is stopped.</summary>
    [WithMpi]
    [InlineData(3)]
    public void A_rank_that_is_stopped_at_long_work_ends_all(int ranks)
    {
        var (code, output) = Run(ranks, "stops at work", "1");
        Assert.True(code == 3, output);
        Assert.Matches(@"expected all ranks in work \(sizes\) within 1 s, found nothing from rank 1 \(process \d+, which is stopped\)", output);
    }

    [WithMpi]
    [InlineData(2)]
    [InlineData(4)]
    public void A_rank_that_is_killed_ends_all(int ranks)
    {
        var (code, output) = Run(ranks, "dies");
        Assert.NotEqual(0, code);
        Assert.Matches(@"expected all ranks in (what follows )?AllGatherStart 'gather [01]' .*, found rank 1 \(process \d+\) ended", output);
        SaidOnce(output);
    }

    /// <summary>A second after one has ended, mpirun ends the others, which may compute for longer: it is seen beside that.</summary>
    [WithMpi]
    [InlineData(3)]
    public void A_rank_that_is_killed_is_missed_while_others_compute(int ranks)
    {
        var (code, output) = Run(ranks, "dies while others compute");
        Assert.NotEqual(0, code);
        Assert.Matches(@"expected all ranks in what follows AllGatherStart 'gather 0' .*, found rank 1 \(process \d+\) ended", output);
        SaidOnce(output);
    }

    /// <summary>By one rank, or by two where one was not answered while it waited, as on a busy machine: rather twice than never.</summary>
    private static void SaidOnce(string output) => Assert.InRange(output.Split("(says it)").Length - 1, 1, 2);

    private static (int ExitCode, string Output) Run(int ranks, params string[] arguments) => Mpirun.Run(ranks, Program.Value, arguments);
}
