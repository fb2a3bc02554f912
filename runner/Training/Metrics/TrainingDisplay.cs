namespace Halo.Runner.Training.Metrics;

/// <summary>Who is told what a run does while it trains; this one tells nobody.</summary>
internal class TrainingDisplay : IProgress<MetricsRow>
{
    /// <summary>A line that stays.</summary>
    public virtual void Say(string line) { }

    /// <summary>An update or an evaluation is done.</summary>
    public virtual void Report(MetricsRow value) { }

    /// <summary>Runs <paramref name="train"/>, during which rows are reported.</summary>
    public virtual T Run<T>(Func<T> train) => train();
}
