using Halo.Models.Adapters;
using Halo.Models.Weights;
using Halo.Runner.Plans;
using Halo.Runner.Runs;
using Halo.Runner.Sessions;
using Halo.Runner.Training;
using Halo.Runner.Training.Engine;

namespace Halo.Runner.Cli;

/// <summary>The first phase of RoSA: which elements of each weight are trained beside the factors. [RoSA, arXiv 2401.04679, algorithm 1]</summary>
/// <remarks>
/// LoRA of the same rank is trained for some updates, as a run of its own in the run's folder <c>warmup</c>. Then the gradient of the whole weights, with that
/// adapter merged and in float32, is squared and summed over the micro-batches of the next update, and the largest sums of each weight are its mask. Training
/// proper begins anew, with factors and elements at zero.
/// </remarks>
internal static class RosaMask
{
    /// <summary>The places of the elements of each module, in a weight (out, in) read row by row, from the lowest on.</summary>
    /// <param name="config">Of the run.</param>
    /// <param name="adapter">Of the run.</param>
    /// <param name="run">The run's folder.</param>
    /// <param name="say">Takes lines about what is done.</param>
    public static IReadOnlyDictionary<string, long[]> Of(TrainConfig config, AdapterLayers adapter, RunFolder run, Action<string> say)
    {
        var folder = Path.Combine(run.Path, "warmup");
        if (!Directory.Exists(Path.Combine(folder, "adapter")))
        {
            if (Directory.Exists(folder))
                Directory.Delete(folder, recursive: true); // left by a process that was killed
            var warm = config with
            {
                AdapterKind = Passes.Training.AdapterKind.Lora,
                AdapterDensity = new TrainConfig { Model = "" }.AdapterDensity,
                AdapterWarmup = new TrainConfig { Model = "" }.AdapterWarmup,
                Steps = config.AdapterWarmup,
                WarmupSteps = Math.Min(config.WarmupSteps, config.AdapterWarmup),
                Epochs = null,
                Valid = null,
                SaveEvery = 0,
                Output = folder,
            };
            say($"rosa: {config.AdapterWarmup} updates of LoRA, after which elements are chosen");
            using var opened = TrainVerb.Open(warm, RunFolder.Create(folder, warm.ToYaml()));
            TrainVerb.Train(new Trainer(opened));
        }
        say("rosa: gradients of whole weights");
        var full = config with { AdapterKind = Passes.Training.AdapterKind.None, Scheme = "none", Format = "none", Quantize = [], Valid = null };
        full = full with { AdapterRank = 16, AdapterAlpha = null, AdapterTargets = AdapterConfig.AllLinear, AdapterDropout = 0, AdapterRslora = false };
        full = full with { AdapterBase = BaseWeights.Own };
        var plan = TrainingPlan.Of(full, _ => { });
        using var weights = CheckpointReader.Open(plan.Weights);
        using var warmed = AdapterFolder.Open(Path.Combine(folder, "adapter"), weights);
        using var engine = new TrainingEngine(plan.Interface, GraphSession.Of("gradients of weights", plan.Training, plan.Session), null, false, config.Threads);
        engine.Parameters.LoadAll(AdapterMerge.Of(weights, warmed.Layers, warmed.Tensors));
        var train = plan.Data.ForTraining(plan.Data.Load(config.Data!), plan.BatchSize, config.Seed);
        var sums = adapter.Layers.ToDictionary(l => l.Module, l => new float[l.Weight.ElementCount!.Value], StringComparer.Ordinal);
        foreach (var micro in train.At(config.AdapterWarmup).MicroBatches.Where(m => !m.Empty))
        {
            engine.Run(micro);
            foreach (var (module, sum) in sums)
            {
                var gradient = engine.Gradients.Read(module + ".weight");
                for (var i = 0; i < sum.Length; i++)
                    sum[i] += gradient[i] * gradient[i];
            }
        }
        return adapter.Layers.ToDictionary(l => l.Module, l => Largest(sums[l.Module], (int)l.Sparse), StringComparer.Ordinal);
    }

    /// <summary>The places of the largest sums, the lowest first; of equal ones the lower.</summary>
    internal static long[] Largest(float[] sums, int count)
    {
        var places = Enumerable.Range(0, sums.Length).ToArray();
        Array.Sort(places, (a, b) => sums[b].CompareTo(sums[a]) is not 0 and var order ? order : a.CompareTo(b));
        return [.. places.Take(count).Order().Select(i => (long)i)];
    }
}
