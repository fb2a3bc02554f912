using Halo.Models.Weights;
using Halo.Runner.Artifacts;
using Halo.Runner.Plans;
using Halo.Runner.Training;

namespace Halo.Tests.Scale;

/// <summary>What keeps the preparation of large models cheap; seconds are measured by <c>tests/Benchmarks/prepare-scale.sh</c>.</summary>
/// <remarks>Work is counted in bytes allocated by the thread, which are the same on every machine.</remarks>
public class PrepareScaleTests
{
    private static readonly LlamaShape Narrow = LlamaShape.Llama8B() with { Vocabulary = 768 };

    [Fact]
    public void Twice_the_layers_take_twice_the_work()
    {
        using var folder = new TemporaryFolder();
        Prepare(folder, Narrow with { Layers = 1 }); // what is made once a process
        var half = Prepare(folder, Narrow with { Layers = 24 });
        var full = Prepare(folder, Narrow with { Layers = 48 });
        Assert.True(full <= 2.3 * half, $"{half:N0} bytes for 24 layers, {full:N0} for 48");
    }

    [Fact]
    public void No_weight_is_copied()
    {
        using var folder = new TemporaryFolder();
        var shape = Narrow with { Layers = 2 };
        Prepare(folder, shape); // what is made once a process
        var narrow = Prepare(folder, shape);
        var wide = Prepare(folder, LlamaShape.Llama405B(layers: 2) with { Vocabulary = 768 }); // 13 GB
        Assert.True(wide - narrow < 1 << 24, $"{wide - narrow:N0} bytes more for wider weights"); // larger Hadamard matrices
        var artifact = TrainingArtifact.Open(folder["artifact-2"]);
        using var weights = artifact.OpenWeights();
        Assert.Equal(3, weights.Files.Count);
        Assert.True(weights.Tensors.Values.Sum(t => t.SizeBytes) > 12_000_000_000);
    }

    [Fact]
    public void A_digest_sees_every_byte_of_every_tensor()
    {
        using var folder = new TemporaryFolder();
        SparseCheckpoint.Write(Narrow with { Layers = 1 }, folder.Path);
        var path = Assert.Single(Directory.GetFiles(folder.Path, "*.safetensors"));
        long[] places;
        using (var file = SafetensorsFile.Open(path))
            places = [.. file.Tensors.Values.Select(t => file.DataStart + t.Offset), .. file.Tensors.Values.Select(t => file.DataStart + t.Offset + (t.SizeBytes / 3)),
                .. file.Tensors.Values.Select(t => file.DataStart + t.Offset + t.SizeBytes - 1)];
        var digest = Digest();
        Assert.Equal(digest, Digest());
        foreach (var at in places)
        {
            Write(at, 1);
            Assert.NotEqual(digest, Digest());
            Write(at, 0);
        }
        Assert.Equal(digest, Digest());

        string Digest()
        {
            using var file = SafetensorsFile.Open(path);
            return WeightsDigest.Of(file);
        }

        void Write(long at, byte value)
        {
            using var stream = File.OpenWrite(path);
            stream.Position = at;
            stream.WriteByte(value);
        }
    }

    private static long Prepare(TemporaryFolder folder, LlamaShape shape)
    {
        var count = Directory.GetDirectories(folder.Path).Length / 2;
        SparseCheckpoint.Write(shape, folder[$"model-{count}"]);
        var config = new TrainConfig { Model = folder[$"model-{count}"], Scheme = "halo-2", Format = "int8", MicroBatchSize = 1, SequenceLength = 16 };
        var start = GC.GetAllocatedBytesForCurrentThread();
        TrainingArtifact.Write(TrainingPlan.Of(config, _ => { }), folder[$"artifact-{count}"], _ => { });
        return GC.GetAllocatedBytesForCurrentThread() - start;
    }
}
