using Halo.Runner.Distributed;

namespace Halo.Tests.Runner.Distributed;

public class AbsenceTests
{
    private sealed class Clock : TimeProvider
    {
        public double Seconds { get; set; } = 100;

        public override long TimestampFrequency => 1000;

        public override long GetTimestamp() => (long)(Seconds * TimestampFrequency);
    }

    /// <summary>Looks at these seconds, with a limit of 20.</summary>
    [Theory]
    [InlineData(false, new double[] { 0, 10, 29 })]
    [InlineData(true, new double[] { 0, 10, 31 })] // 21 seconds without a look
    [InlineData(true, new double[] { 0, 30, 34 })] // for a moment behind it
    [InlineData(false, new double[] { 0, 30, 36 })]
    [InlineData(false, new double[] { 50 })] // the first look says nothing
    public void It_is_seen_by_what_lies_between_two_looks(bool isSeen, double[] seconds)
    {
        var clock = new Clock();
        var absence = new Absence(TimeSpan.FromSeconds(20), clock);
        var last = false;
        foreach (var second in seconds)
        {
            clock.Seconds = 100 + second;
            last = absence.IsJustOver();
        }
        Assert.Equal(isSeen, last);
    }
}
