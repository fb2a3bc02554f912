namespace Halo.Runner.Distributed;

/// <summary>Sees that this process was stopped, as by SIGSTOP: it could not look for longer than the others wait for it.</summary>
/// <param name="limit">What others wait; they have given this process up by then, and said so.</param>
/// <param name="clock">Runs on while the process is stopped.</param>
internal sealed class Absence(TimeSpan limit, TimeProvider? clock = null)
{
    /// <summary>In which a process that goes on finds what became of the others.</summary>
    private static readonly TimeSpan Return = TimeSpan.FromSeconds(5);

    private readonly TimeProvider _clock = clock ?? TimeProvider.System;
    private readonly Lock _gate = new();
    private long? _seen, _back;

    /// <summary>Whether it was stopped until a moment ago; asked often, by any thread.</summary>
    public bool IsJustOver()
    {
        lock (_gate)
        {
            var now = _clock.GetTimestamp();
            if (_seen is { } seen && _clock.GetElapsedTime(seen, now) > limit)
                _back = now;
            _seen = now;
            return _back is { } back && _clock.GetElapsedTime(back, now) < Return;
        }
    }
}
