using Halo.Analysis;
using Halo.Ir;
using Halo.Models.Weights;
using Halo.Passes.Export.Weights;
using Halo.Passes.Sharding;
using Halo.Passes.Training;
using Halo.Runner.Sessions;
using Microsoft.ML.OnnxRuntime;

namespace Halo.Runner.Training.Engine;

/// <summary>What follows from frozen weights, computed once and held on the device of the graphs that read it: 8-bit codes with their scales, copies.</summary>
internal sealed class HeldTensors : IDisposable
{
    private readonly Dictionary<string, DeviceTensor> _values = new(StringComparer.Ordinal);

    private readonly ShardPlan? _rows;
    private readonly Dictionary<string, Value> _read;

    private HeldTensors(Graph reader, ShardPlan? rows) =>
        (_rows, _read) = (rows, reader.Inputs.ToDictionary(i => i.Name, StringComparer.Ordinal));

    public OrtValue this[string name] => _values[name].Value;

    /// <summary>The bytes of one of them.</summary>
    public byte[] Read(string name) => _values[name].ToArray<byte>();

    /// <summary>Computes them, weight by weight, so that no more than one is there in float32.</summary>
    /// <param name="model">From frozen parameters to what is held (<see cref="FrozenBase"/>); null where that is nothing.</param>
    /// <param name="reader">The graph that reads them, with what it reads of weights in 4 bits (<see cref="RoundedBase"/>).</param>
    /// <param name="path">What messages call the weights.</param>
    /// <param name="weights">The frozen parameters, and of RoSA the places of its elements.</param>
    /// <param name="settings">Where and how.</param>
    /// <param name="rows">Which rows of them this rank has, where the reader has fewer than all.</param>
    /// <exception cref="HaloException">A weight is missing, or of another type or shape.</exception>
    /// <returns>Null where nothing is held.</returns>
    public static HeldTensors? Of(Model? model, Graph reader, string path, IReadOnlyDictionary<string, SafetensorsTensor> weights, SessionSettings settings,
        ShardPlan? rows = null)
    {
        var rounded = RoundedBase.In(reader);
        var places = reader.Inputs.Where(i => AdapterNames.IsPlaces(i.Name)).ToList();
        if (model is null && rounded.Count == 0 && places.Count == 0)
            return null;
        var held = new HeldTensors(reader, rows);
        try
        {
            foreach (var input in places)
            {
                if (!weights.TryGetValue(input.Name, out var at) || at.DType != input.Type || !at.Shape.SequenceEqual(input.Shape!.Sizes))
                    throw new HaloException("weights", path, $"'{input.Name}', int64{input.Shape}", "none, or another", "Give the adapter that the graph was made for.");
                held.Write<byte>(input, settings, at.Bytes());
            }
            foreach (var (name, columns, codes, scales, zeros) in rounded)
            {
                if (!weights.TryGetValue(name, out var weight))
                    throw new HaloException("weights", path, $"a tensor '{name}'", "none", "Give the weights that the graph was prepared with.");
                var coded = Int4Codes.Of(weight.ReadFloats(), checked((int)weight.Shape[0]), checked((int)columns));
                held.Write<byte>(codes, settings, coded.Codes);
                held.Write<Half>(scales, settings, coded.Scales);
                held.Write<byte>(zeros, settings, coded.Zeros);
            }
            if (model is null)
                return held;
            foreach (var alike in AlikeParts.In(model))
                held.Add(alike, path, weights, settings with { Replays = false });
            return held;
        }
        catch
        {
            held.Dispose();
            throw;
        }
    }

    public void Dispose()
    {
        foreach (var value in _values.Values)
            value.Dispose();
    }

    /// <summary>All of a tensor, or this rank's rows of it where the reader has those.</summary>
    private unsafe void Write<T>(Value input, SessionSettings settings, ReadOnlySpan<T> values) where T : unmanaged
    {
        var tensor = new DeviceTensor(settings.Device, input.Type, input.Shape!.Sizes);
        _values.Add(input.Name, tensor);
        var own = checked((int)(tensor.SizeBytes / sizeof(T)));
        if (values.Length > own)
        {
            var width = own / checked((int)input.Shape.Sizes[0]);
            values = values.Slice(checked((int)_rows!.RangeOf(values.Length / width).First) * width, own);
        }
        tensor.Write(values);
    }

    /// <summary>One session, whose buffers take one weight after the other.</summary>
    private void Add(AlikeParts alike, string path, IReadOnlyDictionary<string, SafetensorsTensor> weights, SessionSettings settings)
    {
        var inputs = alike.Inputs.Select(i => (i.Name, i.Shape!)).ToList();
        foreach (var (own, _) in alike.Names)
            ParameterBuffers.Check(own.Zip(inputs, (name, input) => (name, input.Item2)), path, weights);
        using var parameters = new ParameterBuffers(inputs, settings.Device, alike.Inputs[0].Type);
        using var session = new GraphSession("frozen weights", alike.Bytes, settings);
        foreach (var (name, _) in inputs)
            session.BindInput(name, parameters[name]);
        foreach (var (own, outputs) in alike.Names)
        {
            parameters.Load(path, inputs.Zip(own).ToDictionary(p => p.First.Name, p => weights[p.Second], StringComparer.Ordinal));
            Run(session, alike.Outputs, outputs, settings);
        }
    }

    /// <summary>Runs a session into tensors that are held.</summary>
    /// <param name="session">Of <paramref name="outputs"/>, its inputs bound and filled.</param>
    /// <param name="outputs">As the session calls them.</param>
    /// <param name="names">As the reader does.</param>
    /// <param name="settings">Of the session.</param>
    private void Run(GraphSession session, IReadOnlyList<Value> outputs, string[] names, SessionSettings settings)
    {
        var whole = new Dictionary<string, DeviceTensor>(StringComparer.Ordinal); // of those that this rank has some rows of
        try
        {
            foreach (var (output, name) in outputs.Zip(names))
            {
                var tensor = new DeviceTensor(settings.Device, output.Type, output.Shape!.Sizes);
                (_read.TryGetValue(name, out var input) && !output.Shape.Equals(input.Shape) ? whole : _values).Add(name, tensor);
                session.BindOutput(output.Name, tensor.Value);
            }
            session.Run();
            foreach (var (name, tensor) in whole)
                Write<byte>(_read[name], settings, tensor.ToArray<byte>());
        }
        finally
        {
            foreach (var tensor in whole.Values)
                tensor.Dispose();
        }
    }
}
