using Halo.Analysis;
using Halo.Models.Optimizer;
using Halo.Runner.Data;
using Halo.Runner.Distributed;

namespace Halo.Runner.Training.Engine;

/// <summary>What one update did.</summary>
/// <param name="Loss">Mean over the counted tokens of the batch, before the update.</param>
/// <param name="GradientNorm">Global norm of that mean's gradient, before clipping.</param>
/// <param name="CountedTokens">Tokens the loss is the mean of.</param>
/// <param name="Tokens">Tokens of the rows, without padding.</param>
internal sealed record StepResult(double Loss, double GradientNorm, long CountedTokens, long Tokens);

/// <content>Updates.</content>
internal sealed partial class TrainingEngine
{
    /// <summary>Runs the graph on one micro-batch and returns its loss; the gradients lie in <see cref="Gradients"/>.</summary>
    /// <exception cref="HaloException">A value of the batch is out of bounds, or none of its labels counts.</exception>
    public double Run(MicroBatch batch)
    {
        _interface.Check(batch);
        _batch.Fill(batch);
        _codes?.Run();
        _training.Run();
        return Read(TrainingNames.Loss);
    }

    /// <summary>One update.</summary>
    /// <param name="batch">The micro-batches it is made of.</param>
    /// <param name="step">From 1, for the bias corrections.</param>
    /// <param name="learningRate">Of this update.</param>
    /// <param name="meanwhile">Done once while a GPU computes, before its results are waited for.</param>
    /// <exception cref="TrainingFailedException">The loss or the gradient is not finite; nothing was updated.</exception>
    public StepResult Step(IReadOnlyList<MicroBatch> batch, long step, double learningRate, Action? meanwhile = null)
    {
        if (_optimizer is null)
            throw new InvalidOperationException("the engine was made without an optimizer");
        if (_norm is null)
            return StepInBackward(batch, step, learningRate);
        var counted = batch.Sum(m => (long)m.CountedTokens);
        double loss = 0;
        _codes?.Run();
        long? running = null; // tokens of the loss that is read behind what is launched next: a GPU does not wait
        // Alone, a mean over nothing is 0/0, and gradients are weighted where they are added up; among ranks, before they are summed over them.
        foreach (var (index, (micro, tokens)) in _world is { } all ? RankBatch.Of(batch, all.Rank.Index, all.Rank.Count)
                .Select((m, round) => ((round * all.Rank.Count) + all.Rank.Index, m))
            : batch.Index().Where(m => !m.Item.Empty).Select(m => (m.Index, (m.Item, (long)m.Item.CountedTokens))))
        {
            AddLoss();
            _batch.Fill(micro);
            var number = ((step - 1) * (MostMicroBatches ?? batch.Count)) + index;
            if (_interface.Drops)
                _scalars[TrainingInterface.DropoutStep].Write<long>([number]);
            if (_roundsSums)
                _scalars[GradientGraphs.SumStep].Write<long>([number]);
            if (_world is not null)
                Write(TrainingNames.GradientWeight, (double)tokens / counted);
            if (_sums is not null)
            {
                Write(GradientGraphs.Keep, running is null ? 0 : 1);
                Write(GradientGraphs.Weight, _world is null ? micro.CountedTokens : 1);
            }
            _training.Run();
            _accumulator?.Run();
            running = tokens;
        }
        Write(AdamWGraph.GradientScale, _sums is null || _world is not null ? 1 : 1.0 / counted);
        _norm.Run();
        Write(AdamWGraph.LearningRate, learningRate);
        _scalars[AdamWGraph.Step].Write<long>([step]);
        meanwhile?.Invoke();
        AddLoss();
        if (_world is not null)
            loss = OfAllRanks(loss, step);
        var norm = Read(AdamWGraph.GradientNorm);
        if (!double.IsFinite(norm))
            throw Agreed(NotFinite("gradient norm", norm, step));
        _optimizer.Run();
        return new StepResult(loss, norm, counted, batch.Sum(m => (long)m.Tokens));

        void AddLoss()
        {
            if (running is not { } tokens)
                return;
            var mean = Read(TrainingNames.Loss);
            loss += double.IsFinite(mean) || _world is not null ? mean * tokens / counted : throw NotFinite("loss", mean, step);
        }
    }

    private StepResult StepInBackward(IReadOnlyList<MicroBatch> batch, long step, double learningRate)
    {
        var counted = batch.Sum(m => (long)m.CountedTokens);
        var (micro, tokens) = _world is { Rank: var rank } ? RankBatch.Of(batch, rank.Index, rank.Count).Single() : (batch.Single(m => !m.Empty), counted);
        _batch.Fill(micro);
        if (_interface.Drops)
            _scalars[TrainingInterface.DropoutStep].Write<long>([((step - 1) * (_world?.Rank.Count ?? 1)) + (_world?.Rank.Index ?? 0)]);
        if (_world is not null)
            Write(TrainingNames.GradientWeight, (double)tokens / counted);
        Write(AdamWGraph.GradientScale, 1);
        Write(AdamWGraph.LearningRate, learningRate);
        Write(OptimizerInBackward.PreviousNorm, PreviousNorm);
        _scalars[AdamWGraph.Step].Write<long>([step]);
        _training.Run();
        var loss = Read(TrainingNames.Loss);
        if (_world is not null)
            loss = OfAllRanks(loss * tokens / counted, step);
        var norm = Read(AdamWGraph.GradientNorm);
        foreach (var (what, value) in new[] { ("loss", loss), ("gradient norm", norm) })
        {
            if (!double.IsFinite(value))
                throw Agreed(NotFinite(what, value, step));
        }
        PreviousNorm = norm;
        return new StepResult(loss, norm, counted, batch.Sum(m => (long)m.Tokens));
    }

    /// <summary>The sum of the ranks' shares; where one is not finite all stop, at the same step.</summary>
    private double OfAllRanks(double own, long step)
    {
        _world!.Communicator.ThrowIfFailed();
        var shares = _world.Gather($"loss of step {step}", own);
        return Array.FindIndex(shares, s => !double.IsFinite(s)) is var rank and >= 0 ? throw Agreed(NotFinite("loss", shares[rank], step, rank)) : shares.Sum();
    }

    /// <summary>All ranks have found the same: one says it.</summary>
    private Exception Agreed(Exception found) => _world?.Agreed(found) ?? found;

    private TrainingFailedException NotFinite(string what, double value, long step, int? rank = null) => new(
        $"train: step {step}, {(rank is { } other ? $"rank {other}" : _training.Settings.Rank)}: expected a finite {what}, found {value}. "
            + (_updatesInBackward ? "Parameters were updated by it, as optimizer_in_backward does: the last checkpoint stands. Lower"
                : "Nothing was updated; lower") + " the learning rate, or try a scheme with more rotations.");

    private double Read(string name) => _scalars[name].ToArray<float>()[0];

    private void Write(string name, double value) => _scalars[name].Write<float>([(float)value]);
}
