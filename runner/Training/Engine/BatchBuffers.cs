using Halo.Ir;
using Halo.Runner.Data;
using Halo.Runner.Sessions;

namespace Halo.Runner.Training.Engine;

/// <summary>The bound tensors of a graph's batch inputs, (B, T) int64 each.</summary>
/// <param name="inputs">What batches are made of.</param>
/// <param name="rows">B.</param>
/// <param name="sequence">T.</param>
/// <param name="device">Where they lie.</param>
internal sealed class BatchBuffers(IReadOnlyList<BatchInput> inputs, int rows, int sequence, Device device) : IDisposable
{
    private readonly IReadOnlyList<(BatchInput Input, DeviceTensor Tensor)> _tensors =
        [.. inputs.Select(input => (input, new DeviceTensor(device, ElementType.Int64, [rows, sequence])))];

    /// <summary>Binds those that the graph takes: a graph for generation has no labels.</summary>
    public void BindTo(GraphSession session)
    {
        foreach (var (input, tensor) in _tensors)
        {
            if (session.Inputs.ContainsKey(input.Name))
                session.BindInput(input.Name, tensor.Value);
        }
    }

    /// <summary>Writes micro-batches one behind the other, as many as the tensors have room for: a widened graph takes several.</summary>
    public void Fill(params IReadOnlyList<MicroBatch> batches)
    {
        foreach (var (input, tensor) in _tensors)
            tensor.Write<long>(batches.Count == 1 ? batches[0][input.Role] : [.. batches.SelectMany(b => b[input.Role])]);
    }

    public void Dispose()
    {
        foreach (var (_, tensor) in _tensors)
            tensor.Dispose();
    }
}
