using System.Collections.Concurrent;
using System.Diagnostics;

namespace Halo.Tests.Runner.Plans;

/// <summary>Counts the graphs that one test parses and builds: those of other tests in this process have another trace.</summary>
public sealed class GraphCount : IDisposable
{
    private readonly ConcurrentBag<(string Activity, string Graph)> _seen = [];
    private readonly ActivitySource _source = new("Halo.Tests");
    private readonly ActivityListener _listener;
    private readonly Activity _root;

    public GraphCount()
    {
        _listener = new ActivityListener
        {
            ShouldListenTo = source => source == _source || source.Name == GraphActivity.SourceName,
            Sample = (ref _) => ActivitySamplingResult.AllData,
            ActivityStopped = Add,
        };
        ActivitySource.AddActivityListener(_listener);
        _root = _source.StartActivity(nameof(GraphCount))!;
    }

    /// <summary>Files that were parsed, by name, as often as they were.</summary>
    public IReadOnlyList<string> Parsed => [.. Of(GraphActivity.Parsing).Select(path => Path.GetFileName(path))];

    /// <summary>Kinds of graphs that were built, as often as they were.</summary>
    public IReadOnlyList<string> Built => Of(GraphActivity.Building);

    public void Dispose()
    {
        _root.Dispose();
        _listener.Dispose();
        _source.Dispose();
    }

    private void Add(Activity activity)
    {
        if (activity.TraceId == _root?.TraceId && activity != _root)
            _seen.Add((activity.OperationName, (string)activity.GetTagItem(GraphActivity.GraphTag)!));
    }

    private List<string> Of(string activity) => [.. _seen.Where(s => s.Activity == activity).Select(s => s.Graph).Order(StringComparer.Ordinal)];
}
