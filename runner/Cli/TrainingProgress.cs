using Spectre.Console;
using Spectre.Console.Rendering;

namespace Halo.Runner.Training.Metrics;

/// <summary>Shows the rows of a run on stderr: a live display on a terminal, else plain lines.</summary>
internal sealed class TrainingProgress : TrainingDisplay
{
    private const int LossesShown = 60; // the loss strip stays within 80 columns
    private readonly int _totalSteps;
    private readonly int _logEvery;
    private readonly TextWriter _writer;
    private readonly Queue<double> _recentMilliseconds = new();
    private readonly Queue<double> _losses = new();
    private IAnsiConsole? _console;
    private LiveDisplayContext? _live;

    /// <param name="totalSteps">Updates of the run.</param>
    /// <param name="logEvery">Updates between plain lines.</param>
    /// <param name="writer">Where plain lines go; null is stderr.</param>
    public TrainingProgress(int totalSteps, int logEvery, TextWriter? writer = null)
        => (_totalSteps, _logEvery, _writer) = (totalSteps, logEvery, writer ?? Console.Error);

    /// <summary>Whether stderr shows a live display: it is a terminal that can move its cursor. NO_COLOR takes the colours, not the display.</summary>
    public static bool IsLive => !Console.IsErrorRedirected && Environment.GetEnvironmentVariable("TERM") is not (null or "" or "dumb");

    /// <summary>Runs <paramref name="train"/> under the display, which ends with it.</summary>
    public override T Run<T>(Func<T> train)
    {
        if (!IsLive || _writer != Console.Error) return train();
        _console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) });
        return _console.Live(new Paragraph("")).AutoClear(false).Start(live =>
        {
            _live = live;
            try { return train(); }
            finally { _live = null; }
        });
    }

    /// <summary>A line that stays.</summary>
    public override void Say(string line)
    {
        if (_live is null) _writer.WriteLine(line);
        else _console!.WriteLine(line);
    }

    public override void Report(MetricsRow value)
    {
        var row = value;
        if (row is { Kind: MetricsKind.Train, Milliseconds: { } ms }) Keep(_recentMilliseconds, ms, 20);
        if (row.Kind == MetricsKind.Train) Keep(_losses, row.Loss, LossesShown);
        TimeSpan? left = row.Kind == MetricsKind.Train && _recentMilliseconds.Count > 0
            ? TimeSpan.FromMilliseconds(_recentMilliseconds.Average() * (_totalSteps - row.Step))
            : null;
        var line = ProgressLine.Format(row, _totalSteps, left);
        if (_live is null)
        {
            if (row.Kind == MetricsKind.Eval || row.Step % _logEvery == 0 || row.Step == 1 || row.Step == _totalSteps) _writer.WriteLine(line);
        }
        else if (row.Kind == MetricsKind.Eval) _console!.WriteLine(line); // stays above the display
        else _live.UpdateTarget(Display(row.Step, line));
    }

    private Rows Display(int step, string line)
    {
        var done = (int)((long)LossesShown * step / _totalSteps);
        var bar = $"[green]{new string('\u2501', done)}[/][grey]{new string('\u2501', LossesShown - done)}[/] {100L * step / _totalSteps}%";
        return new Rows((IRenderable[])[new Markup($"[grey]{Strip(_losses)}[/]"), new Markup(bar), new Paragraph(line)]);
    }

    /// <summary>Values as blocks of eight heights, the least the lowest.</summary>
    internal static string Strip(IReadOnlyCollection<double> values)
    {
        const string Heights = "\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588";
        double low = values.Min(), span = values.Max() - low;
        return string.Concat(values.Select(v => Heights[span > 0 ? Math.Clamp((int)((v - low) / span * 7.999), 0, 7) : 0]));
    }

    private static void Keep(Queue<double> queue, double value, int count)
    {
        queue.Enqueue(value);
        if (queue.Count > count) queue.Dequeue();
    }
}
