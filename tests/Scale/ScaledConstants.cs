using System.Runtime.InteropServices;
using Halo.Ir;

namespace Halo.Tests.Scale;

/// <summary>The constants of the fixture <c>llama3-gqa</c> at other sizes; one that stands in no list here is an error.</summary>
public sealed class ScaledConstants(LlamaShape s)
{
    /// <summary>Base of the rotary embedding in the fixture's configuration.</summary>
    private const double RopeTheta = 500000;

    /// <summary>Axes, limits, fill values: lists of integers that no size of the model stands in.</summary>
    private static readonly HashSet<string> FixedIntegers = new(StringComparer.Ordinal)
    {
        "-1", "0", "1", "2", "3", "-100", "9223372036854775807", "0,0,0,1", "", "0,1",
    };

    private static readonly HashSet<float> FixedScalars = [0, 1, 2, 3, -0.5f, 1e-5f, float.MinValue];

    /// <summary>Shapes, and limits of slices: what the list says in the export, and what it is made of.</summary>
    private readonly Dictionary<string, long[]> _integers = new(StringComparer.Ordinal)
    {
        ["128"] = [s.Hidden],
        ["16"] = [s.HeadDim],
        ["8"] = [s.HeadDim / 2],
        ["72,1"] = [s.Batch * s.Sequence, 1],
        ["72,32"] = [s.Batch * s.Sequence, s.KvHeads * s.HeadDim],
        ["72,128"] = [s.Batch * s.Sequence, s.Hidden],
        ["72,448"] = [s.Batch * s.Sequence, s.Ffn],
        ["3,24,128"] = [s.Batch, s.Sequence, s.Hidden],
        ["3,24,448"] = [s.Batch, s.Sequence, s.Ffn],
        ["3,24,8,16"] = [s.Batch, s.Sequence, s.Heads, s.HeadDim],
        ["3,24,2,16"] = [s.Batch, s.Sequence, s.KvHeads, s.HeadDim],
        ["3,8,24,16"] = [s.Batch, s.Heads, s.Sequence, s.HeadDim],
        ["3,8,16,24"] = [s.Batch, s.Heads, s.HeadDim, s.Sequence],
        ["3,8,24,24"] = [s.Batch, s.Heads, s.Sequence, s.Sequence],
        ["3,2,4,24,16"] = [s.Batch, s.KvHeads, s.Heads / s.KvHeads, s.Sequence, s.HeadDim],
        ["24,24,16"] = [s.Batch * s.Heads, s.Sequence, s.HeadDim],
        ["24,16,24"] = [s.Batch * s.Heads, s.HeadDim, s.Sequence],
        ["24,24,24"] = [s.Batch * s.Heads, s.Sequence, s.Sequence],
    };

    /// <summary>Sizes of constants of zeros: the buffers that gradients of slices, of the loss and of the embedding are added to.</summary>
    private readonly Dictionary<string, long[]> _zeros = new(StringComparer.Ordinal)
    {
        ["16,2,24,3"] = [s.HeadDim, s.KvHeads, s.Sequence, s.Batch],
        ["16,8,24,3"] = [s.HeadDim, s.Heads, s.Sequence, s.Batch],
        ["72,512"] = [s.Batch * s.Sequence, s.Vocabulary],
        ["512,128"] = [s.Vocabulary, s.Hidden],
    };

    /// <summary>The shape of a parameter, its gradient or a row of the batch; here no two sizes of the export are the same number.</summary>
    public Shape Interface(Shape export) => new(export.Select(d => Dim.Of(d.Size switch
    {
        3 => s.Batch,
        24 => s.Sequence,
        32 => s.KvHeads * s.HeadDim,
        128 => s.Hidden,
        448 => s.Ffn,
        512 => s.Vocabulary,
        var size => throw new InvalidOperationException($"what the size {size} of the interface is made of is not known"),
    })));

    public Tensor Scale(Value constant)
    {
        var tensor = constant.Initializer!;
        var sizes = string.Join(',', tensor.Sizes);
        return (tensor.Type, sizes) switch
        {
            (ElementType.Bool, "1,1,24,24") => CausalMask(),
            (ElementType.Int64, "3,1,1,24,2") => MaskIndices(),
            (ElementType.Int64, "8,1") => HalfOfHead(tensor.ToInt64s()[0] == 0 ? 0 : s.HeadDim / 2),
            (ElementType.Int64, _) when tensor.Sizes.Count <= 1 => Integers(constant, tensor),
            (ElementType.Float, "1,1,24,16") => Rotary(tensor),
            (ElementType.Float, "") => Scalar(constant, tensor.ToArray<float>()[0]),
            (ElementType.Float, _) when _zeros.TryGetValue(sizes, out var scaled) && tensor.ToArray<float>().All(x => x == 0) =>
                new Tensor(ElementType.Float, scaled, new ZeroBytes(ElementType.Float.SizeBytes(scaled.Aggregate(1L, (a, b) => a * b)))),
            _ => throw Unknown(constant, tensor.ToString()),
        };
    }

    /// <summary>cos, or sin, of position times frequency, both halves of a head alike; computed for any sizes but the export's own.</summary>
    public static Tensor Rotary(long sequence, long headDim, Func<double, double> function)
    {
        var elements = new float[sequence * headDim];
        for (var t = 0; t < sequence; t++)
        {
            for (var i = 0; i < headDim; i++)
                elements[t * headDim + i] = (float)function(t * Math.Pow(RopeTheta, -2.0 * (i % (headDim / 2)) / headDim));
        }
        return Tensor.Floats([1, 1, sequence, headDim], elements);
    }

    private Tensor Rotary(Tensor tensor)
    {
        if ((s.Sequence, s.HeadDim) == (LlamaShape.Export.Sequence, LlamaShape.Export.HeadDim))
            return tensor; // the same bits
        return Rotary(s.Sequence, s.HeadDim, tensor.ToArray<float>()[0] == 1 ? Math.Cos : Math.Sin);
    }

    private Tensor Integers(Value constant, Tensor tensor)
    {
        var text = string.Join(',', tensor.ToInt64s());
        if (FixedIntegers.Contains(text))
            return tensor;
        return _integers.TryGetValue(text, out var scaled) ? Tensor.Int64s(scaled) : throw Unknown(constant, $"[{text}]");
    }

    private Tensor Scalar(Value constant, float x) => x switch
    {
        128 => Tensor.Scalar((float)s.Hidden),
        0.25f => Tensor.Scalar((float)(1 / Math.Sqrt(s.HeadDim))),
        _ when FixedScalars.Contains(x) => constant.Initializer!,
        _ => throw Unknown(constant, $"{x}"),
    };

    private Tensor CausalMask()
    {
        var mask = new byte[s.Sequence * s.Sequence];
        for (var row = 0; row < s.Sequence; row++)
            mask.AsSpan((int)(row * s.Sequence), row + 1).Fill(1);
        return Tensor.Of<byte>(ElementType.Bool, [1, 1, s.Sequence, s.Sequence], mask);
    }

    /// <summary>(b, t) at each (b, 0, 0, t).</summary>
    private Tensor MaskIndices()
    {
        var indices = new List<long>();
        for (var b = 0L; b < s.Batch; b++)
        {
            for (var t = 0L; t < s.Sequence; t++)
                indices.AddRange(b, t);
        }
        return Tensor.Of<long>(ElementType.Int64, [s.Batch, 1, 1, s.Sequence, 2], CollectionsMarshal.AsSpan(indices));
    }

    private Tensor HalfOfHead(long first) =>
        Tensor.Of<long>(ElementType.Int64, [s.HeadDim / 2, 1], [.. Enumerable.Range(0, (int)s.HeadDim / 2).Select(i => first + i)]);

    private static InvalidOperationException Unknown(Value constant, string content) =>
        new($"how the constant '{constant.Name}', {content}, depends on the model's sizes is not known");
}
