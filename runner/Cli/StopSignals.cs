using System.Runtime.InteropServices;

namespace Halo.Runner.Cli;

/// <summary>SIGINT and SIGTERM as a wish to end: the first one is heard by who has taken the token, a second one ends the process.</summary>
internal sealed class StopSignals : IDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private readonly TimeSpan _limit;
    private readonly PosixSignalRegistration[] _signals;
    private Timer? _end;
    private bool _isTaken;

    /// <param name="limit">The process ends so long after the first where nobody has taken the token.</param>
    public StopSignals(TimeSpan limit)
    {
        _limit = limit;
        _signals = [PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop), PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop)];
    }

    /// <summary>The caller sees to the end.</summary>
    public CancellationToken Take()
    {
        lock (_stop)
        {
            _isTaken = true;
            _end?.Dispose();
            return _stop.Token;
        }
    }

    private void Stop(PosixSignalContext context)
    {
        lock (_stop)
        {
            context.Cancel = !_stop.IsCancellationRequested;
            _stop.Cancel();
            if (!_isTaken)
                _end ??= new Timer(_ => Environment.Exit(ExitCode.Interrupted), null, _limit, Timeout.InfiniteTimeSpan);
        }
    }

    public void Dispose()
    {
        foreach (var signal in _signals)
            signal.Dispose();
        _end?.Dispose();
        _stop.Dispose();
    }
}
