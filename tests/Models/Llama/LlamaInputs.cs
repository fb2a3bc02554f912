using Halo.Ir;
using Halo.Models.Weights;
using Halo.Tests.Numerics;

namespace Halo.Tests.Models.Llama;

/// <summary>Values for the inputs of a LLaMA's graph.</summary>
public static class LlamaInputs
{
    /// <summary>Parameters as float32 from a checkpoint, and the batch from a file of expected values.</summary>
    public static Dictionary<string, Tensor> Of(
        Graph graph, IReadOnlyDictionary<string, SafetensorsTensor> checkpoint, IReadOnlyDictionary<string, SafetensorsTensor> batch) =>
        graph.Inputs.ToDictionary(i => i.Name, i => i.Type == ElementType.Int64
            ? Tensor.Of<long>(ElementType.Int64, i.Shape!.Sizes, batch[i.Name].ReadLongs())
            : Tensor.Floats(i.Shape!.Sizes, checkpoint[i.Name].ReadFloats()));

    /// <summary>
    /// Weights that let every part matter; tokens of which the last few of each row are padding, some labels ignored, two documents a row.
    /// </summary>
    public static Dictionary<string, Tensor> Random(Graph graph, int vocabulary, Random random)
    {
        return graph.Inputs.ToDictionary(i => i.Name, i =>
        {
            var (count, sequence) = ((int)i.Shape!.ElementCount!.Value, (int)i.Shape[-1].Size!.Value);
            long[] Integers(Func<int, long> at) => [.. Enumerable.Range(0, count).Select(n => at(n % sequence))];
            float[] Floats(double mean, double deviation) => [.. Enumerable.Range(0, count).Select(_ => (float)(mean + (deviation * random.NextNormal())))];
            return i.Name switch
            {
                "input_ids" => Integer(Integers(_ => random.Next(vocabulary))),
                "attention_mask" => Integer(Integers(t => t < sequence - 2 ? 1 : 0)),
                "labels" => Integer(Integers(t => t >= sequence - 2 || random.Next(4) == 0 ? -100 : random.Next(vocabulary))),
                "position_ids" => Integer(Integers(t => t < 4 ? t : t - 4)),
                "document_ids" => Integer(Integers(t => t < 4 ? 5 : 2)),
                var name when name.EndsWith("norm.weight", StringComparison.Ordinal) => Tensor.Floats(i.Shape.Sizes, Floats(1, 0.3)),
                _ => Tensor.Floats(i.Shape.Sizes, Floats(0, 0.4)),
            };

            Tensor Integer(long[] values) => Tensor.Of<long>(ElementType.Int64, i.Shape.Sizes, values);
        });
    }
}
