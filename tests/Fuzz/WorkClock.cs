using System.Diagnostics;

namespace Halo.Tests.Fuzz;

/// <summary>How long a file took: processor time, as the machine may do something else meanwhile; a tenth of the clock's where it waits.</summary>
internal sealed class WorkClock
{
    private readonly Stopwatch _watch = Stopwatch.StartNew();
    private readonly TimeSpan _before = Environment.CpuUsage.TotalTime;

    public double Seconds =>
        Math.Min(_watch.Elapsed.TotalSeconds, Math.Max((Environment.CpuUsage.TotalTime - _before).TotalSeconds, _watch.Elapsed.TotalSeconds / 10));
}
