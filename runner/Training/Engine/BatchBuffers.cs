using Halo.Runner.Data;
using Halo.Runner.Sessions;
using Microsoft.ML.OnnxRuntime;
using TensorElementType = Microsoft.ML.OnnxRuntime.Tensors.TensorElementType;

namespace Halo.Runner.Training.Engine;

/// <summary>The bound buffers of input_ids, attention_mask and labels, (B, T) int64 each.</summary>
public sealed class BatchBuffers(int rows, int sequence) : IDisposable
{
    private readonly OrtValue _ids = GraphSession.Allocate(TensorElementType.Int64, [rows, sequence]);
    private readonly OrtValue _mask = GraphSession.Allocate(TensorElementType.Int64, [rows, sequence]);
    private readonly OrtValue _labels = GraphSession.Allocate(TensorElementType.Int64, [rows, sequence]);

    /// <summary>Binds those of the three that the graph takes: a graph for generation has no labels.</summary>
    public void BindTo(GraphSession session)
    {
        foreach (var (name, value) in new[] { (TrainingInterface.InputIds, _ids), (TrainingInterface.AttentionMask, _mask),
            (TrainingInterface.Labels, _labels) })
        {
            if (session.Inputs.ContainsKey(name))
                session.BindInput(name, value);
        }
    }

    /// <summary>Writes a micro-batch from its <paramref name="part"/>-th place on; a widened graph takes several.</summary>
    public void Fill(MicroBatch batch, int part = 0)
    {
        var at = part * batch.InputIds.Length;
        batch.InputIds.CopyTo(_ids.GetTensorMutableDataAsSpan<long>()[at..]);
        batch.AttentionMask.CopyTo(_mask.GetTensorMutableDataAsSpan<long>()[at..]);
        batch.Labels.CopyTo(_labels.GetTensorMutableDataAsSpan<long>()[at..]);
    }

    public void Dispose()
    {
        _ids.Dispose();
        _mask.Dispose();
        _labels.Dispose();
    }
}
