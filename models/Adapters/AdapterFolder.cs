using System.Runtime.InteropServices;
using Halo.Analysis;
using Halo.Io;
using Halo.Ir;
using Halo.Models.Weights;

namespace Halo.Models.Adapters;

/// <summary>An adapter as PEFT saves it: a config, and the values of its parameters, held against the base that they are for.</summary>
public sealed class AdapterFolder : IDisposable
{
    public const string WeightsName = "adapter_model.safetensors";

    /// <summary>The key of the base's digest in the metadata of the weights; PEFT writes none.</summary>
    public const string BaseKey = "halo.base";

    private readonly SafetensorsFile _file;

    private AdapterFolder(string path, AdapterConfig config, AdapterLayers layers, SafetensorsFile file)
    {
        (Path, Config, Layers, _file) = (path, config, layers, file);
        Tensors = file.Tensors.Values.ToDictionary(t => NameOf(t.Name), StringComparer.Ordinal);
    }

    public string Path { get; }

    public AdapterConfig Config { get; }

    public AdapterLayers Layers { get; }

    public string WeightsPath => _file.Path;

    /// <summary>By the names that graphs have.</summary>
    public IReadOnlyDictionary<string, SafetensorsTensor> Tensors { get; }

    /// <summary>Whether a folder is an adapter's.</summary>
    public static bool Is(string path) => File.Exists(System.IO.Path.Combine(path, AdapterConfig.FileName));

    /// <summary>Reads an adapter for a base.</summary>
    /// <param name="path">The folder.</param>
    /// <param name="weights">The base.</param>
    /// <exception cref="HaloException">
    /// A field is not honoured, a tensor is missing, too many or of other sizes, or the adapter was trained over other weights.
    /// </exception>
    public static AdapterFolder Open(string path, CheckpointReader weights)
    {
        var config = AdapterConfig.Load(path);
        var layers = AdapterLayers.Of(config, weights);
        var file = OpenFile(path);
        try
        {
            var adapter = new AdapterFolder(path, config, layers, file);
            adapter.Check();
            if (file.Metadata.TryGetValue(BaseKey, out var trainedOver) && BaseDigest.Of(weights) is var found && found != trainedOver)
            {
                throw new HaloException("adapter", file.Path, $"the base that it was trained over ({BaseKey} {trainedOver})", $"{weights.Path} ({found})",
                    "Give the base that the adapter belongs to.");
            }
            FiniteValues.Check(file.Path, file.Tensors.Values.Where(t => t.DType.IsFloat()));
            return adapter;
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Writes an adapter, whole or not at all.</summary>
    /// <param name="folder">A new or empty folder, or one that Halo wrote.</param>
    /// <param name="config">Of the adapter.</param>
    /// <param name="tensors">In any order, under the names that graphs have.</param>
    /// <param name="baseDigest">Of the weights that it was trained over; null where it is not known.</param>
    public static void Write(string folder, AdapterConfig config, IEnumerable<SafetensorsSource> tensors, string? baseDigest)
    {
        var metadata = new Dictionary<string, string> { ["format"] = "pt" };
        if (baseDigest is not null)
            metadata[BaseKey] = baseDigest;
        OwnedFolder.Write(folder, "adapter", target =>
        {
            AtomicFile.WriteText(System.IO.Path.Combine(target, AdapterConfig.FileName), config.ToJson());
            SafetensorsWriter.Write(System.IO.Path.Combine(target, WeightsName),
                [.. tensors.Select(t => t with { Name = AdapterNames.InFile(t.Name) }).OrderBy(t => t.Name, StringComparer.Ordinal)], metadata);
        });
    }

    /// <summary>The tensors of a file of weights under the names that graphs have; null where it is no adapter's.</summary>
    public static IReadOnlyDictionary<string, SafetensorsTensor>? TensorsOf(SafetensorsFile file) =>
        !file.Tensors.Keys.All(AdapterNames.IsTrained) || !file.Tensors.Keys.Any(AdapterNames.IsFactor) ? null
        : file.Tensors.Values.ToDictionary(t => NameOf(t.Name), StringComparer.Ordinal);

    public void Dispose() => _file.Dispose();

    private static SafetensorsFile OpenFile(string path)
    {
        var file = System.IO.Path.Combine(path, WeightsName);
        if (File.Exists(file))
            return SafetensorsFile.Open(file);
        throw new HaloException("adapter", path, WeightsName,
            File.Exists(System.IO.Path.Combine(path, "adapter_model.bin")) ? "adapter_model.bin, a pickle" : "none", "Save the adapter with safetensors.");
    }

    private static string NameOf(string inFile) => inFile.EndsWith(".lora_magnitude_vector", StringComparison.Ordinal) ? inFile + ".weight" : inFile;

    private static bool AreAscending(ReadOnlySpan<byte> bytes, long end)
    {
        var places = MemoryMarshal.Cast<byte, long>(bytes);
        for (var i = 0; i < places.Length; i++)
        {
            if (places[i] <= (i == 0 ? -1 : places[i - 1]) || places[i] >= end)
                return false;
        }
        return true;
    }

    private void Check()
    {
        const string Advice = "Check that config and weights of the adapter belong together, and to this base.";
        var parameters = Layers.Parameters.ToDictionary(p => p.Name, p => p.Shape, StringComparer.Ordinal);
        foreach (var (name, shape) in parameters)
        {
            if (!Tensors.TryGetValue(name, out var tensor))
                throw new HaloException("adapter", $"{_file.Path}: '{AdapterNames.InFile(name)}'", $"a tensor {shape}", "none", Advice);
            if (!tensor.DType.IsFloat() || !Shape.Of([.. tensor.Shape]).Equals(shape))
            {
                throw new HaloException("adapter", $"{_file.Path}: '{tensor.Name}'", $"floating point values {shape}",
                    $"{tensor.DType.Name()} {Shape.Of([.. tensor.Shape])}", Advice);
            }
        }
        foreach (var layer in Layers.Layers.Where(l => l.Sparse > 0))
        {
            var name = AdapterNames.Places(layer.Module);
            if (!Tensors.TryGetValue(name, out var places) || places.DType != ElementType.Int64 || !places.Shape.SequenceEqual([layer.Sparse])
                || !AreAscending(places.Bytes(), layer.Weight.ElementCount!.Value))
            {
                throw new HaloException("adapter", $"{_file.Path}: '{name}'", $"int64 [{layer.Sparse}], ascending and below {layer.Weight.ElementCount}",
                    places is null ? "none" : "others", Advice);
            }
            parameters.Add(name, Shape.Of(layer.Sparse));
        }
        if (Tensors.Keys.FirstOrDefault(n => !parameters.ContainsKey(n)) is { } extra)
            throw new HaloException("adapter", _file.Path, "the tensors that the config calls for", $"'{AdapterNames.InFile(extra)}' besides", Advice);
    }
}
