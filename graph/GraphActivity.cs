using System.Diagnostics;

namespace Halo;

/// <summary>Tells an <see cref="ActivityListener"/> of each graph that is parsed from a file or built in code; costs nothing where nobody listens.</summary>
internal static class GraphActivity
{
    /// <summary>The name of the source.</summary>
    public const string SourceName = "Halo.Graphs";

    /// <summary>Names of the activities: a file that is parsed, a graph that is built.</summary>
    public const string Parsing = "parse-graph", Building = "build-graph";

    /// <summary>The tag with the file's path, or the kind of graph.</summary>
    public const string GraphTag = "graph";

    private static readonly ActivitySource Source = new(SourceName);

    /// <summary>A file that is parsed until the activity is disposed.</summary>
    public static Activity? Parse(string path) => Source.StartActivity(Parsing)?.SetTag(GraphTag, path);

    /// <summary>A graph that is built until the activity is disposed.</summary>
    public static Activity? Build(string kind) => Source.StartActivity(Building)?.SetTag(GraphTag, kind);
}
