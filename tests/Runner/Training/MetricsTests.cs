using System.Text;
using Halo.Runner.Sessions;
using Halo.Runner.Training.Metrics;

namespace Halo.Tests.Runner.Training;

public sealed class MetricsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_row_is_on_the_disk_as_soon_as_it_is_appended()
    {
        using var log = MetricsLog.Create(_folder["m.jsonl"]);
        log.Append(Train(1));
        log.Append(Eval(1));
        Assert.Equal([Train(1), Eval(1)], ReadShared());
        Assert.StartsWith("""{"step":1,"kind":"train","loss":0.5,"epoch":0,"gradient_norm":2,""", Text());
        Assert.True(log.Has(MetricsKind.Eval, 1));
        Assert.False(log.Has(MetricsKind.Eval, 0));
    }

    [Theory]
    [InlineData("")]
    [InlineData("""{"step":4,"ki""")]
    [InlineData("{\"step\":4,\"ki\n")]
    [InlineData("\0\0\0\0")]
    public void Resuming_forgets_later_rows_and_a_torn_line(string torn)
    {
        var path = _folder["m.jsonl"];
        using (var log = MetricsLog.Create(path))
            foreach (var step in Enumerable.Range(1, 3)) log.Append(Train(step));
        File.AppendAllText(path, torn);
        using (var log = MetricsLog.Resume(path, 2))
        {
            Assert.Equal([Train(1), Train(2)], log.Rows);
            log.Append(Train(3));
        }
        Assert.Equal([Train(1), Train(2), Train(3)], MetricsLog.Read(path));
    }

    [Fact]
    public void Resuming_gives_the_bytes_of_a_run_that_was_not_stopped()
    {
        using (var log = MetricsLog.Create(_folder["whole"])) for (var step = 1; step <= 5; step++) log.Append(Train(step));
        using (var log = MetricsLog.Create(_folder["cut"])) for (var step = 1; step <= 4; step++) log.Append(Train(step));
        using (var log = MetricsLog.Resume(_folder["cut"], 3)) for (var step = 4; step <= 5; step++) log.Append(Train(step));
        Assert.Equal(File.ReadAllBytes(_folder["whole"]), File.ReadAllBytes(_folder["cut"]));
    }

    [Fact]
    public void A_damaged_line_in_the_middle_is_an_error()
    {
        var path = _folder.File("m.jsonl", "{\"step\":1,\"ki\n{\"step\":2,\"kind\":\"train\",\"loss\":1}\n");
        Assert.Equal($"{path}, line 1", Assert.Throws<HaloException>(() => MetricsLog.Resume(path, 2)).Subject);
    }

    [Fact]
    public void Values_that_are_not_finite_survive()
    {
        using (var log = MetricsLog.Create(_folder["m.jsonl"])) log.Append(Train(1) with { Loss = double.NaN, GradientNorm = double.PositiveInfinity });
        Assert.Equal(double.NaN, MetricsLog.Read(_folder["m.jsonl"])[0].Loss);
    }

    [Theory]
    [InlineData("123456789", 0xE3069283)] // the check value of CRC-32C
    [InlineData("", 0)]
    public void Checksum_is_CRC_32C(string text, uint expected) => Assert.Equal(expected, TensorBoardWriter.Crc32C(Encoding.ASCII.GetBytes(text)));

    [Fact]
    public void TensorBoard_events_hold_every_scalar_once()
    {
        using (var writer = new TensorBoardWriter(_folder.Path, [Eval(0), Train(1)])) writer.Append(Train(2));
        var events = TensorBoardReader.Read(File.ReadAllBytes(_folder[TensorBoardWriter.FileName]));
        Assert.Equal("brain.Event:2", events[0].Version);
        Assert.Equal([0L, 1, 2], events.Skip(1).Select(e => e.Step));
        Assert.Equal([("eval/loss", 0.25f), ("eval/perplexity", MathF.Exp(0.25f))], events[1].Scalars);
        Assert.Equal(
            [("train/loss", 0.5f), ("train/gradient_norm", 2f), ("train/learning_rate", 3e-5f), ("train/tokens_per_second", 40000f),
                ("train/milliseconds", 250f)], events[2].Scalars);
        Assert.Equal(1_790_000_001.5, events[2].WallTime);
    }

    [Fact]
    public void TensorBoard_file_after_resuming_is_that_of_a_run_that_was_not_stopped()
    {
        using (var writer = new TensorBoardWriter(_folder["whole"], [])) foreach (var row in new[] { Train(1), Train(2), Train(3) }) writer.Append(row);
        using (var writer = new TensorBoardWriter(_folder["cut"], [Train(1), Train(2), Train(3)])) writer.Append(Train(4));
        using (var writer = new TensorBoardWriter(_folder["cut"], [Train(1), Train(2)])) writer.Append(Train(3));
        Assert.Equal(Scalars("whole"), Scalars("cut"));
        List<long> Scalars(string run) =>
            TensorBoardReader.Read(File.ReadAllBytes(Path.Combine(_folder[run], TensorBoardWriter.FileName))).Select(e => e.Step).ToList();
    }

    [Fact]
    public void Progress_line_is_the_documented_one()
    {
        var row = Train(12) with { Loss = 2.71751, GradientNorm = 1.03, Milliseconds = 312, Tokens = 12855 };
        Assert.Equal("step 12/100 | loss 2.7175 | norm 1.03 | lr 3.0e-05 | 312 ms | 41202 tok/s | 1m20s left",
            ProgressLine.Format(row, 100, TimeSpan.FromSeconds(80)));
        Assert.Equal("step 12/100 | loss 2.7175 | norm 1.03 | lr 3.0e-05 | 312 ms | 41202 tok/s | 331 TFLOP/s, 33 % of bf16, 17 % of fp8",
            ProgressLine.Format(row with { Tflops = 331.2, Bf16Share = 0.3349, Fp8Share = 0.1674 }, 100));
        Assert.EndsWith("| 41202 tok/s | 144 GFLOP/s", ProgressLine.Format(row with { Tflops = 0.144 }, 100), StringComparison.Ordinal);
        Assert.Equal("step 0/100 | valid loss 0.2500 | perplexity 1.284", ProgressLine.Format(Eval(0), 100));
    }

    [Theory]
    [InlineData(0.4, "0s")]
    [InlineData(59.6, "1m00s")]
    [InlineData(80, "1m20s")]
    [InlineData(7500, "2h05m")]
    [InlineData(273600, "3d04h")]
    public void Durations_show_two_units(double seconds, string text) => Assert.Equal(text, ProgressLine.Duration(TimeSpan.FromSeconds(seconds)));

    [Fact]
    public void Plain_progress_prints_the_first_every_nth_and_the_last_step()
    {
        var writer = new StringWriter();
        var progress = new TrainingProgress(7, logEvery: 3, writer);
        Assert.Equal(7, progress.Run(() => { for (var step = 1; step <= 7; step++) progress.Report(Train(step)); return 7; }));
        var lines = writer.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(["step 1/7", "step 3/7", "step 6/7", "step 7/7"], lines.Select(l => l.Split(" | ")[0]));
        Assert.EndsWith("250 ms | 40000 tok/s | 2s left", lines[0].TrimEnd());
    }

    [Theory]
    [InlineData("NVIDIA H200", 989.0)]
    [InlineData("NVIDIA H100 PCIe", 756.0)]
    [InlineData("NVIDIA L40S", 362.0)]
    [InlineData("NVIDIA H20", 148.0)]
    [InlineData("NVIDIA T4", null)]
    public void Peaks_are_found_by_the_name_of_the_GPU(string name, double? bfloat16) => Assert.Equal(bfloat16, GpuPeak.Of(name)?.Bf16);

    [Fact]
    public void Loss_strip_spans_its_heights() => Assert.Equal("\u2588\u2584\u2581", TrainingProgress.Strip([3, 2, 1]));

    internal static MetricsRow Train(int step) => new()
    {
        Step = step,
        Kind = MetricsKind.Train,
        Loss = 0.5,
        Epoch = 0,
        GradientNorm = 2,
        LearningRate = 3e-5,
        Milliseconds = 250,
        Tokens = 10_000,
        CountedTokens = 2_000,
        Time = 1_790_000_000.5 + step,
    };

    internal static MetricsRow Eval(int step) =>
        new() { Step = step, Kind = MetricsKind.Eval, Loss = 0.25, CountedTokens = 100, Time = 1_790_000_000.5 + step };

    private IReadOnlyList<MetricsRow> ReadShared()
    {
        File.WriteAllText(_folder["copy"], Text());
        return MetricsLog.Read(_folder["copy"]);
    }

    private string Text()
    {
        using var stream = new FileStream(_folder["m.jsonl"], FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        return new StreamReader(stream).ReadToEnd();
    }
}
