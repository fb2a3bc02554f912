using Halo.Models.Adapters;
using Halo.Models.Weights;

namespace Halo.Runner.Training.Engine;

/// <summary>The tensors of several files as one set: a base's, and those of an adapter under the names that graphs have.</summary>
internal sealed class ParameterFiles : IDisposable
{
    private readonly List<IDisposable> _files = [];
    private readonly Dictionary<string, SafetensorsTensor> _tensors = new(StringComparer.Ordinal);

    private ParameterFiles(string path) => Path = path;

    /// <summary>What messages call the files.</summary>
    public string Path { get; }

    public IReadOnlyDictionary<string, SafetensorsTensor> Tensors => _tensors;

    /// <param name="paths">Safetensors files, folders of them, or adapters' folders.</param>
    /// <exception cref="HaloException">A file is missing or damaged, or two have a tensor of one name.</exception>
    public static ParameterFiles Open(params IReadOnlyList<string> paths)
    {
        var files = new ParameterFiles(string.Join(", ", paths));
        try
        {
            foreach (var path in paths)
                files.Add(path);
            return files;
        }
        catch
        {
            files.Dispose();
            throw;
        }
    }

    public void Dispose()
    {
        foreach (var file in _files)
            file.Dispose();
    }

    private void Add(string path)
    {
        foreach (var (name, tensor) in OfAdapter(path) ?? OfCheckpoint(path))
        {
            if (!_tensors.TryAdd(name, tensor))
                throw new HaloException("load-parameters", $"{path}: '{name}'", "each tensor in one file", "it in two", "Leave one of the files out.");
        }
    }

    private IReadOnlyDictionary<string, SafetensorsTensor>? OfAdapter(string path)
    {
        var file = AdapterFolder.Is(path) ? System.IO.Path.Combine(path, AdapterFolder.WeightsName) : path;
        if (!File.Exists(file) || file.EndsWith(".json", StringComparison.Ordinal))
            return null;
        var opened = SafetensorsFile.Open(file);
        if (AdapterFolder.TensorsOf(opened) is { } tensors)
        {
            _files.Add(opened);
            return tensors;
        }
        opened.Dispose();
        return null;
    }

    private IReadOnlyDictionary<string, SafetensorsTensor> OfCheckpoint(string path)
    {
        var checkpoint = CheckpointReader.Open(path);
        _files.Add(checkpoint);
        return checkpoint.Tensors;
    }
}
