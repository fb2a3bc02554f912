using Halo.Ir;
using Halo.Runner.Training;
using Halo.Runner.Training.Engine;

namespace Halo.Runner.Plans;

/// <summary>What the gradients of micro-batches are summed in.</summary>
internal static class GradientSums
{
    /// <summary>Of a config.</summary>
    public static ElementType TypeOf(TrainConfig config) => config.GradientSums == StatePrecision.Fp32 ? ElementType.Float : ElementType.BFloat16;

    /// <summary>Throws where sums in bfloat16 are asked for and would not be made.</summary>
    /// <exception cref="HaloException">States are float32, or an update sums nothing.</exception>
    public static void Require(TrainConfig config, TrainingInterface @interface, bool accumulates)
    {
        if (config.GradientSums == StatePrecision.Fp32)
            return;
        if (@interface.ParameterType != ElementType.BFloat16)
        {
            throw new HaloException("memory", "gradient_sums bf16", "states bf16 with it, whose gradients are bfloat16", $"parameters of {@interface.ParameterType.Name()}",
                "Give --states bf16, or leave gradient_sums out.");
        }
        if (!accumulates || config.OptimizerInBackward)
        {
            throw new HaloException("memory", "gradient_sums bf16", "updates of several micro-batches, whose gradients are summed",
                config.OptimizerInBackward ? "optimizer_in_backward, whose updates have one" : $"a batch of {config.BatchSize ?? @interface.Rows} rows, one micro-batch",
                config.OptimizerInBackward ? "Leave one of the two out." : $"Give a --batch-size above {@interface.Rows}, or leave gradient_sums out.");
        }
    }

    /// <summary>Whether a run sums gradients in float32 and could do so in bfloat16.</summary>
    public static bool MayBeHalved(TrainConfig config, TrainingInterface @interface) => config is { GradientSums: StatePrecision.Fp32, OptimizerInBackward: false }
        && @interface.ParameterType == ElementType.BFloat16 && config.BatchSize > @interface.Rows;
}
