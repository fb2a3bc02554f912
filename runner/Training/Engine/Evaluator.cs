using Halo.Analysis;
using Halo.Runner.Data;
using Halo.Runner.Sessions;

namespace Halo.Runner.Training.Engine;

/// <summary>Runs an evaluation graph over the same parameter buffers that training updates.</summary>
public sealed class Evaluator : IDisposable
{
    private readonly GraphSession _session;
    private readonly BatchBuffers _batch;
    private readonly List<DeviceTensor> _losses = [];
    private readonly DeviceTensor? _logits;
    private readonly int _rows;
    private readonly int _sequence;

    /// <param name="session">Of the evaluation graph; owned from then on.</param>
    /// <param name="interface">The training graph's interface.</param>
    /// <param name="parameters">The buffers to read; not owned.</param>
    /// <param name="copies">Micro-batches that the graph takes at once (widen-batch), each with a loss of its own.</param>
    public Evaluator(GraphSession session, TrainingInterface @interface, ParameterBuffers parameters, int copies = 1)
    {
        (_session, _rows, _sequence) = (session, @interface.Rows, @interface.Sequence);
        _batch = new BatchBuffers(copies * _rows, _sequence, session.Device);
        _batch.BindTo(session);
        foreach (var (name, _) in @interface.Parameters)
            session.BindInput(name, parameters[name]);
        for (var n = 0; n < copies; n++)
        {
            _losses.Add(session.NewTensor(session.Outputs[TrainingNames.Loss]));
            session.BindOutput(n == 0 ? TrainingNames.Loss : $"{TrainingNames.Loss}.{n}", _losses[n].Value);
        }
        if (copies == 1 && session.Outputs.TryGetValue(TrainingNames.Logits, out var logits))
        {
            _logits = session.NewTensor(logits);
            session.BindOutput(TrainingNames.Logits, _logits.Value);
        }
    }

    /// <summary>The summed loss of all counted tokens over their number.</summary>
    /// <param name="batches">Each of at most as many micro-batches as the graph takes at once, or of any number where it takes one.</param>
    /// <exception cref="TrainingFailedException">The loss is not finite.</exception>
    public (double Loss, long CountedTokens) Loss(IEnumerable<Batch> batches)
    {
        double sum = 0;
        long counted = 0;
        foreach (var together in batches.SelectMany(b => b.MicroBatches.Where(m => !m.Empty).Chunk(_losses.Count)))
        {
            _batch.Fill([.. Enumerable.Range(0, _losses.Count).Select(n => together[n < together.Length ? n : 0])]); // free places repeat the first, unread
            _session.Run();
            for (var n = 0; n < together.Length; n++)
            {
                sum += (double)_losses[n].ToArray<float>()[0] * together[n].CountedTokens;
                counted += together[n].CountedTokens;
            }
        }
        return double.IsFinite(sum) ? (sum / counted, counted)
            : throw new TrainingFailedException("eval: expected a finite loss, found a non-finite one. "
                + "Check the weights, or try a scheme with more rotations.");
    }

    /// <summary>Continues each prompt with its most likely tokens, without a cache: every token is one run of the whole graph.</summary>
    /// <param name="prompts">At most B prompts, of ids.</param>
    /// <param name="stops">Ids that end a continuation; not part of it.</param>
    /// <param name="maxTokens">Longest continuation; the graph's T bounds prompt and continuation together.</param>
    public IReadOnlyList<IReadOnlyList<int>> Continue(IReadOnlyList<int[]> prompts, IReadOnlySet<int> stops, int maxTokens)
    {
        if (_logits is null)
            throw new HaloException("generate", "the evaluation graph", "an output 'logits'", "none",
                "The graph has no head that was found; only its loss can be evaluated.");
        ArgumentOutOfRangeException.ThrowIfGreaterThan(prompts.Count, _rows);
        var rows = prompts.Select(p => p.ToList()).ToList();
        var open = Enumerable.Range(0, rows.Count).ToHashSet();
        for (var n = 0; n < maxTokens && open.Count > 0; n++)
        {
            open.RemoveWhere(r => rows[r].Count >= _sequence);
            _batch.Fill(MicroBatch.Of([.. rows.Select(r => new TokenizedRow([.. r], new byte[r.Count]))], _rows, _sequence, padId: 0));
            _session.Run();
            var logits = _logits.ToArray<float>().AsSpan();
            var vocabulary = logits.Length / (_rows * _sequence);
            foreach (var r in open.ToList())
            {
                var last = logits.Slice((r * _sequence + rows[r].Count - 1) * vocabulary, vocabulary);
                var next = System.Numerics.Tensors.TensorPrimitives.IndexOfMax<float>(last);
                if (stops.Contains(next))
                    open.Remove(r);
                else
                    rows[r].Add(next);
            }
        }
        return [.. rows.Zip(prompts, (row, prompt) => row[prompt.Length..])];
    }

    public void Dispose()
    {
        _session.Dispose();
        _batch.Dispose();
        _losses.ForEach(l => l.Dispose());
        _logits?.Dispose();
    }
}
