using Halo.Analysis;
using Halo.Runner.Data;
using Halo.Runner.Sessions;

namespace Halo.Runner.Training.Engine;

/// <summary>Runs an evaluation graph over the same parameter buffers that training updates.</summary>
public sealed class Evaluator : IDisposable
{
    private readonly TrainingInterface _interface;
    private readonly GraphSession _session;
    private readonly BatchBuffers _batch;
    private readonly List<DeviceTensor> _losses = [];

    /// <param name="session">Of the evaluation graph; owned from then on.</param>
    /// <param name="interface">The training graph's interface.</param>
    /// <param name="parameters">The buffers to read; not owned.</param>
    /// <param name="copies">Micro-batches that the graph takes at once (widen-batch), each with a loss of its own.</param>
    /// <param name="held">What the graph reads of frozen weights; not owned; null where it reads the weights themselves.</param>
    public Evaluator(GraphSession session, TrainingInterface @interface, ParameterBuffers parameters, int copies = 1, HeldTensors? held = null)
    {
        (_interface, _session) = (@interface, session);
        _batch = new BatchBuffers(@interface.Batch, copies * @interface.Rows, @interface.Sequence, session.Device);
        _batch.BindTo(session);
        foreach (var (name, _) in @interface.Parameters)
            session.BindInput(name, parameters[name]);
        foreach (var name in @interface.Held.Where(session.Inputs.ContainsKey))
            session.BindInput(name, held![name]);
        for (var n = 0; n < copies; n++)
        {
            _losses.Add(session.NewTensor(session.Outputs[TrainingNames.Loss]));
            session.BindOutput(n == 0 ? TrainingNames.Loss : $"{TrainingNames.Loss}.{n}", _losses[n].Value);
        }
    }

    /// <summary>The summed loss of all counted tokens over their number.</summary>
    /// <param name="batches">Each of at most as many micro-batches as the graph takes at once, or of any number where it takes one.</param>
    /// <param name="step">Updates done, for messages; null where nothing is trained.</param>
    /// <exception cref="TrainingFailedException">The loss is not finite.</exception>
    public (double Loss, long CountedTokens) Loss(IEnumerable<Batch> batches, int? step = null)
    {
        double sum = 0;
        long counted = 0;
        var run = 0;
        foreach (var together in batches.SelectMany(b => b.MicroBatches.Where(m => !m.Empty).Chunk(_losses.Count)))
        {
            foreach (var micro in together)
                _interface.Check(micro);
            _batch.Fill([.. Enumerable.Range(0, _losses.Count).Select(n => together[n < together.Length ? n : 0])]); // free places repeat the first, unread
            _session.Run();
            for (var n = 0; n < together.Length; n++)
            {
                var loss = (double)_losses[n].ToArray<float>()[0];
                if (!double.IsFinite(loss))
                {
                    throw new TrainingFailedException($"eval: {(step is { } at ? $"step {at}, " : "")}micro-batch {run}: expected a finite loss, found {loss}. "
                        + "Check the weights, or try a scheme with more rotations.");
                }
                run++;
                sum += loss * together[n].CountedTokens;
                counted += together[n].CountedTokens;
            }
        }
        return (sum / counted, counted);
    }

    public void Dispose()
    {
        _session.Dispose();
        _batch.Dispose();
        _losses.ForEach(l => l.Dispose());
    }
}
