using Halo.Analysis;
using Halo.Runner.Data;
using Halo.Runner.Distributed;
using Halo.Runner.Sessions;

namespace Halo.Runner.Training.Engine;

/// <summary>Runs an evaluation graph over the same parameter buffers that training updates.</summary>
internal sealed class Evaluator : IDisposable
{
    private readonly TrainingInterface _interface;
    private readonly GraphSession _session;
    private readonly BatchBuffers _batch;
    private readonly List<DeviceTensor> _losses = [];
    private readonly World? _world;

    /// <param name="session">Of the evaluation graph; owned from then on.</param>
    /// <param name="interface">The training graph's interface.</param>
    /// <param name="parameters">The buffers to read; not owned.</param>
    /// <param name="copies">Micro-batches that the graph takes at once (widen-batch), each with a loss of its own.</param>
    /// <param name="held">What the graph reads of frozen weights; not owned; null where it reads the weights themselves.</param>
    /// <param name="world">The ranks that share the batches, each with an evaluator over its own graph; null: there are none.</param>
    public Evaluator(GraphSession session, TrainingInterface @interface, ParameterBuffers parameters, int copies = 1, HeldTensors? held = null,
        World? world = null)
    {
        (_interface, _session, _world) = (@interface, session, world);
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
        var all = batches.SelectMany(b => b.MicroBatches.Where(m => !m.Empty).Chunk(_losses.Count));
        foreach (var (together, counts) in _world is null ? all.Select(b => (b, true)) : Shared([.. all], _world))
        {
            foreach (var micro in together)
                _interface.Check(micro);
            _batch.Fill([.. Enumerable.Range(0, _losses.Count).Select(n => together[n < together.Length ? n : 0])]); // free places repeat the first, unread
            _session.Run();
            for (var n = 0; n < together.Length; n++)
            {
                var loss = (double)_losses[n].ToArray<float>()[0];
                if (!counts)
                    continue;
                if (!double.IsFinite(loss) && _world is null)
                {
                    throw new TrainingFailedException($"eval: {(step is { } at ? $"step {at}, " : "")}micro-batch {run}: expected a finite loss, found {loss}. "
                        + "Check the weights, or try a scheme with more rotations.");
                }
                run++;
                sum += loss * together[n].CountedTokens;
                counted += together[n].CountedTokens;
            }
        }
        return _world is null ? (sum / counted, counted) : OfAllRanks(sum, counted, step);
    }

    /// <summary>Batch r, r + N, and so on; all ranks run as many, as each run has collectives: one that is left over does not count.</summary>
    private static IEnumerable<(MicroBatch[] Batch, bool Counts)> Shared(IReadOnlyList<MicroBatch[]> all, World world) =>
        from round in Enumerable.Range(0, (all.Count + world.Rank.Count - 1) / world.Rank.Count)
        let place = (round * world.Rank.Count) + world.Rank.Index
        select (all[Math.Min(place, all.Count - 1)], place < all.Count);

    private (double Loss, long CountedTokens) OfAllRanks(double sum, long counted, int? step)
    {
        var (sums, counts) = (_world!.Gather($"validation loss of step {step}", sum), _world.Gather($"validation tokens of step {step}", counted));
        if (Array.FindIndex(sums, s => !double.IsFinite(s)) is var rank and >= 0)
        {
            throw _world.Agreed(new TrainingFailedException($"eval: step {step}, rank {rank}: expected a finite loss, found {sums[rank]}. "
                + "Check the weights, or try a scheme with more rotations."));
        }
        return (sums.Sum() / counts.Sum(), (long)counts.Sum());
    }

    public void Dispose()
    {
        _session.Dispose();
        _batch.Dispose();
        _losses.ForEach(l => l.Dispose());
    }
}
