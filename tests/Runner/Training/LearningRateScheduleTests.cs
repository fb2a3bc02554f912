using Halo.Runner.Training.Schedules;
using Halo.Tests.Numerics;

namespace Halo.Tests.Runner.Training;

public class LearningRateScheduleTests
{
    [Fact]
    public void Linear_with_warmup_is_the_published_form_bit_for_bit()
    {
        var schedule = new LearningRateSchedule(ScheduleKind.Linear, 1e-3, 20, 180);
        for (var k = 0; k < 180; k++)
            Assert.Equal(1e-3 * Math.Min(1, (k + 1) / 20.0) * (1 - k / 180.0), schedule.At(k));
        Assert.Equal(0, schedule.At(180));
    }

    [Theory]
    [InlineData(ScheduleKind.Linear, 0, 1.0)]
    [InlineData(ScheduleKind.Linear, 50, 0.6)]
    [InlineData(ScheduleKind.Linear, 100, 0.2)]
    [InlineData(ScheduleKind.Cosine, 0, 1.0)]
    [InlineData(ScheduleKind.Cosine, 50, 0.6)]
    [InlineData(ScheduleKind.Cosine, 100, 0.2)]
    [InlineData(ScheduleKind.Constant, 99, 1.0)]
    [InlineData(ScheduleKind.Wsd, 75, 1.0)]
    [InlineData(ScheduleKind.Wsd, 90, 0.52)]
    [InlineData(ScheduleKind.Wsd, 500, 0.2)]
    public void Decays_to_the_floor(ScheduleKind kind, int step, double expected)
        => Assert.Equal(expected, new LearningRateSchedule(kind, 1, 0, 100, 0.2, 0.25).At(step), Tolerances.Float64);

    [Fact]
    public void Wsd_over_the_whole_run_is_linear()
    {
        var wsd = new LearningRateSchedule(ScheduleKind.Wsd, 3e-4, 5, 37, 0.1, 1);
        for (var k = 0; k <= 40; k++) Assert.Equal((wsd with { Kind = ScheduleKind.Linear }).At(k), wsd.At(k), Tolerances.OneFloat64);
    }

    [Fact]
    public void Warmup_rises_evenly_and_reaches_the_peak_at_its_last_update()
    {
        var schedule = new LearningRateSchedule(ScheduleKind.Constant, 2, 4, 10);
        Assert.Equal([0.5, 1, 1.5, 2, 2], Enumerable.Range(0, 5).Select(schedule.At));
    }

    [Fact]
    public void Refuses_a_warmup_longer_than_the_run()
        => Assert.Contains("warmup_steps", Assert.Throws<HaloException>(() => new LearningRateSchedule(ScheduleKind.Linear, 1, 11, 10)).Message);
}
