using Halo.Analysis;
using Halo.Ir;
using Halo.Runner.Data;
using Halo.Runner.Sessions;

namespace Halo.Runner.Training.Engine;

/// <summary>The bound tensors of input_ids, attention_mask and labels, (B, T) int64 each.</summary>
public sealed class BatchBuffers(int rows, int sequence, GraphDevice device = GraphDevice.Cpu) : IDisposable
{
    private readonly DeviceTensor _ids = new(device, ElementType.Int64, [rows, sequence]);
    private readonly DeviceTensor _mask = new(device, ElementType.Int64, [rows, sequence]);
    private readonly DeviceTensor _labels = new(device, ElementType.Int64, [rows, sequence]);

    /// <summary>Binds those of the three that the graph takes: a graph for generation has no labels.</summary>
    public void BindTo(GraphSession session)
    {
        foreach (var (name, tensor) in new[] { (TrainingNames.InputIds, _ids), (TrainingNames.AttentionMask, _mask),
            (TrainingNames.Labels, _labels) })
        {
            if (session.Inputs.ContainsKey(name))
                session.BindInput(name, tensor.Value);
        }
    }

    /// <summary>Writes micro-batches one behind the other, as many as the tensors have room for: a widened graph takes several.</summary>
    public void Fill(params IReadOnlyList<MicroBatch> batches)
    {
        _ids.Write<long>(Joined(batches, b => b.InputIds));
        _mask.Write<long>(Joined(batches, b => b.AttentionMask));
        _labels.Write<long>(Joined(batches, b => b.Labels));
    }

    public void Dispose()
    {
        _ids.Dispose();
        _mask.Dispose();
        _labels.Dispose();
    }

    private static long[] Joined(IReadOnlyList<MicroBatch> batches, Func<MicroBatch, long[]> part) =>
        batches.Count == 1 ? part(batches[0]) : [.. batches.SelectMany(part)];
}
