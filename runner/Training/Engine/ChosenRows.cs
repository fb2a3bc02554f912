using Halo.Ir;
using Halo.Passes.Training;
using Halo.Runner.Sessions;
using Microsoft.ML.OnnxRuntime;

namespace Halo.Runner.Training.Engine;

/// <summary>Which rows of weights have a gradient (<see cref="ChooseRows"/>): those of the largest mean magnitude. [EfQAT, arXiv 2411.11038]</summary>
internal sealed class ChosenRows : IDisposable
{
    private readonly Dictionary<string, DeviceTensor> _rows = new(StringComparer.Ordinal);

    /// <summary>The first rows.</summary>
    /// <param name="interface">Whose parameters they are of.</param>
    /// <param name="device">Where graphs read them.</param>
    public ChosenRows(TrainingInterface @interface, Device device)
    {
        foreach (var (parameter, count) in @interface.Chosen)
        {
            var tensor = new DeviceTensor(device, ElementType.Int64, [count]);
            tensor.Write<long>([.. Enumerable.Range(0, count).Select(i => (long)i)]);
            _rows.Add(parameter, tensor);
        }
    }

    public IEnumerable<string> Parameters => _rows.Keys;

    public OrtValue this[string parameter] => _rows[parameter].Value;

    public long[] Of(string parameter) => _rows[parameter].ToArray<long>();

    public void Set(string parameter, long[] rows) => _rows[parameter].Write<long>(rows);

    /// <summary>Chooses anew by the present weights. A row that stays chosen keeps its moments, another one begins with none.</summary>
    public void Choose(ParameterBuffers parameters, ParameterBuffers firstMoments, ParameterBuffers secondMoments)
    {
        foreach (var parameter in _rows.Keys)
        {
            var (before, after) = (Of(parameter), Largest(parameters.Read(parameter), parameters.ShapeOf(parameter), (int)_rows[parameter].SizeBytes / sizeof(long)));
            if (before.AsSpan().SequenceEqual(after))
                continue;
            Set(parameter, after);
            foreach (var moments in new[] { firstMoments, secondMoments })
                moments.Write(parameter, Moved(moments.Read(parameter), before, after));
        }
    }

    /// <summary>The rows of the largest mean magnitude, the lowest first; of equal ones the lower.</summary>
    internal static long[] Largest(float[] weight, Shape shape, int count)
    {
        var columns = (int)shape.Sizes[1];
        var magnitudes = weight.Chunk(columns).Select(row => row.Sum(v => (double)Math.Abs(v)) / columns).ToArray();
        return [.. Enumerable.Range(0, magnitudes.Length).OrderByDescending(i => magnitudes[i]).ThenBy(i => i).Take(count).Order().Select(i => (long)i)];
    }

    private static float[] Moved(float[] moments, long[] before, long[] after)
    {
        var columns = moments.Length / before.Length;
        var moved = new float[moments.Length];
        for (var i = 0; i < after.Length; i++)
        {
            if (Array.BinarySearch(before, after[i]) is >= 0 and var at)
                moments.AsSpan(at * columns, columns).CopyTo(moved.AsSpan(i * columns));
        }
        return moved;
    }

    public void Dispose()
    {
        foreach (var tensor in _rows.Values)
            tensor.Dispose();
    }
}
