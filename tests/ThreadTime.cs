using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Halo.Tests;

/// <summary>Processor time of this thread: what a test may take, whatever else the machine and other tests do.</summary>
internal static partial class ThreadTime
{
    private const int ThreadCpuTime = 3; // CLOCK_THREAD_CPUTIME_ID of Linux

    /// <summary>So far; of another system the clock's.</summary>
    public static double Seconds
    {
        get
        {
            if (!OperatingSystem.IsLinux())
                return Stopwatch.GetTimestamp() / (double)Stopwatch.Frequency;
            return GetTime(ThreadCpuTime, out var time) == 0 ? time.Seconds + 1e-9 * time.Nanoseconds : throw new InvalidOperationException("no clock of threads");
        }
    }

    [LibraryImport("libc", EntryPoint = "clock_gettime")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int GetTime(int clock, out TimeSpec time);

    [StructLayout(LayoutKind.Sequential)]
    private struct TimeSpec
    {
        public long Seconds, Nanoseconds;
    }
}
