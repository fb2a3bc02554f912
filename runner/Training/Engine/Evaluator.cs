using Halo.Analysis;
using Halo.Runner.Artifacts;
using Halo.Runner.Data;
using Halo.Runner.Sessions;
using Microsoft.ML.OnnxRuntime;

namespace Halo.Runner.Training.Engine;

/// <summary>Runs an evaluation graph over the same parameter buffers that training updates.</summary>
public sealed class Evaluator : IDisposable
{
    private readonly GraphSession _session;
    private readonly BatchBuffers _batch;
    private readonly OrtValue _loss;
    private readonly OrtValue? _logits;
    private readonly int _rows;
    private readonly int _sequence;

    /// <param name="session">Of the evaluation graph; owned from then on.</param>
    /// <param name="interface">The training graph's interface.</param>
    /// <param name="parameters">The buffers to read; not owned.</param>
    public Evaluator(GraphSession session, TrainingInterface @interface, ParameterBuffers parameters)
    {
        (_session, _rows, _sequence) = (session, @interface.Rows, @interface.Sequence);
        _batch = new BatchBuffers(_rows, _sequence);
        _batch.BindTo(session);
        foreach (var (name, _) in @interface.Parameters)
            session.BindInput(name, parameters[name]);
        session.BindOutput(LinearGemms.LossName, _loss = GraphSession.Allocate(session.Outputs[LinearGemms.LossName]));
        if (session.Outputs.TryGetValue(TrainingArtifact.LogitsName, out var logits))
            session.BindOutput(TrainingArtifact.LogitsName, _logits = GraphSession.Allocate(logits));
    }

    /// <summary>The summed loss of all counted tokens over their number.</summary>
    /// <exception cref="TrainingFailedException">The loss is not finite.</exception>
    public (double Loss, long CountedTokens) Loss(IEnumerable<Batch> batches)
    {
        double sum = 0;
        long counted = 0;
        foreach (var micro in batches.SelectMany(b => b.MicroBatches).Where(m => !m.Empty))
        {
            _batch.Fill(micro);
            _session.Run();
            sum += (double)_loss.GetTensorDataAsSpan<float>()[0] * micro.CountedTokens;
            counted += micro.CountedTokens;
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
            var logits = _logits.GetTensorDataAsSpan<float>();
            var vocabulary = logits.Length / (_rows * _sequence);
            foreach (var r in open.ToList())
            {
                var next = System.Numerics.Tensors.TensorPrimitives.IndexOfMax(logits.Slice((r * _sequence + rows[r].Count - 1) * vocabulary, vocabulary));
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
        _loss.Dispose();
        _logits?.Dispose();
    }
}
