using Halo.Models.Bundled;
using Halo.Tests.CustomOps;
using Halo.Tests.Runner.Distributed;

namespace Halo.Tests.Runner.Gpu;

/// <summary>Ranks that are processes of mpirun, each with an emulated GPU, whose tensors go by copies.</summary>
[Collection(EmulatedGpuProcesses.Name)]
[Trait("Category", "Slow")]
public sealed class GpuRankTests(EmulatedGpu gpu) : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    /// <summary>Each rank traces its collectives: those of a recording have the same number in each replay.</summary>
    [WithMpi]
    [InlineData(2)]
    public void Recorded_updates_of_ranks_have_the_bits_of_updates_that_are_not_recorded(int ranks)
    {
        Train(ranks, "launched", "HALO_CUDA_SYNC=1");
        Train(ranks, "recorded", "HALO_CUDA_SYNC=0", $"HALO_COLLECTIVE_TRACE={_folder["trace"]}");
        Assert.Equal(RankThreads.NumbersOf(_folder["launched"]), RankThreads.NumbersOf(_folder["recorded"]));
        for (var rank = 0; rank < ranks; rank++)
        {
            var lines = File.ReadAllLines($"{_folder["trace"]}.{rank}").Skip(1).Select(l => l.Split('\t')).ToList();
            Assert.All(lines, l => Assert.Equal(8, l.Length));
            foreach (var collective in new[] { "AllGatherStart", "ReduceScatterStart", "AllReduceStart" })
                Assert.Contains(lines, l => l[1] == collective);
            Assert.Contains(lines.GroupBy(l => l[0]), times => times.Count() >= 2); // the first update is launched and recorded, two are replayed
            Assert.All(lines, l => Assert.True(Time(l, 5) >= Time(l, 4) && Time(l, 7) >= Time(l, 6), string.Join(' ', l)));
        }

        static double Time(string[] line, int column) => double.Parse(line[column], System.Globalization.CultureInfo.InvariantCulture);
    }

    private void Train(int ranks, string output, params string[] environment)
    {
        var (code, text) = Mpirun.Run(ranks, "env", [.. environment, "dotnet", gpu.Executable, "train", "--model", LlamaTiny.Folder, "--data",
            TinyRun.Data("train.jsonl"), "-o", _folder[output], "--device", "cuda", "--rank-carrier", "copies", "--shard", "full", "--batch-size", "2",
            "--micro-batch-size", "1", "--sequence-length", "64", "--steps", "3", "--learning-rate", "1e-3", "--clip-norm", "1", "--rank-timeout", "300"]);
        Assert.True(code == 0, text);
    }

    public void Dispose() => _folder.Dispose();
}
