using System.Text.Json;
using Halo.Analysis;
using Halo.Io;
using Halo.Models.Json;

namespace Halo.Models.Weights;

/// <summary>The tensors of a checkpoint, whether it is one safetensors file or several shards with an index.</summary>
public sealed class CheckpointReader : IDisposable
{
    /// <summary>What the file of a checkpoint is called, and the index of one in several.</summary>
    public const string SingleName = "model.safetensors", IndexName = "model.safetensors.index.json";

    /// <summary>What wrappers put before every name: torch.compile, DataParallel and DDP, PEFT, models of text and images.</summary>
    private static readonly string[] Wrappers = ["_orig_mod.", "module.", "base_model.model.", "language_model."];

    private readonly List<SafetensorsFile> _files = [];
    private readonly OrderedDictionary<string, SafetensorsTensor> _tensors = [];

    private CheckpointReader(string path) => Path = path;

    public string Path { get; }

    /// <summary>The safetensors files, one or several shards.</summary>
    public IReadOnlyList<SafetensorsFile> Files => _files;

    /// <summary>The index of the shards; null for a single file.</summary>
    public string? IndexPath { get; private set; }

    /// <summary>What a wrapper put before every name and <see cref="Tensors"/> are without; empty where nothing.</summary>
    public string Prefix { get; private set; } = "";

    /// <summary>By name: the order of the file, or shard after shard.</summary>
    public IReadOnlyDictionary<string, SafetensorsTensor> Tensors => _tensors;

    /// <summary>The metadata of the file, or of the first shard.</summary>
    public IReadOnlyDictionary<string, string> Metadata => _files[0].Metadata;

    /// <summary>Opens a safetensors file, an index file, or a folder that has <c>model.safetensors</c> or <c>model.safetensors.index.json</c>.</summary>
    /// <exception cref="HaloException">Nothing of that kind is there, a shard is missing or damaged, or index and shards disagree.</exception>
    public static CheckpointReader Open(string path)
    {
        var reader = new CheckpointReader(path);
        try
        {
            var file = Directory.Exists(path) ? InFolder(path) : path;
            if (file.EndsWith(".index.json", StringComparison.Ordinal)) reader.OpenShards(file);
            else reader.Add(SafetensorsFile.Open(file));
            reader.Unwrap();
            return reader;
        }
        catch
        {
            reader.Dispose();
            throw;
        }
    }

    /// <exception cref="HaloException">There is no tensor of that name.</exception>
    public SafetensorsTensor this[string name] => _tensors.TryGetValue(name, out var tensor) ? tensor
        : throw new HaloException("read-checkpoint", Path, $"a tensor '{name}'", $"{_tensors.Count} others",
            "Check that the checkpoint belongs to this model.");

    /// <summary>A tensor's elements as float32, row-major.</summary>
    public float[] ReadFloats(string name) => this[name].ReadFloats();

    public void Dispose()
    {
        foreach (var file in _files) file.Dispose();
        _files.Clear();
    }

    private static string InFolder(string folder)
    {
        if (new[] { SingleName, IndexName }.Select(name => System.IO.Path.Combine(folder, name)).FirstOrDefault(File.Exists) is { } file)
            return file;
        const string Advice = "Name a folder or file of safetensors weights.";
        var kind = OwnedFolder.KindOf(folder);
        var (found, advice) = kind is not null ? ($"neither, in a folder that Halo wrote as '{kind}'", Advice)
            : Has("adapter_model.*") ? ("an adapter alone", "Merge it into its model (in PEFT: merge_and_unload) and save that.")
            : Has("pytorch_model*.bin") ? ("pytorch_model.bin, a pickle", "Convert it to safetensors, or fetch the model's safetensors.")
            : Has("*.gguf") ? ("a GGUF file", "Fetch the model's safetensors: Halo reads no GGUF.")
            : Has("*.safetensors") ? ("neither, but other safetensors", "Name one of them, or fetch the index that goes with shards.")
            : ("neither", Advice);
        throw new HaloException("read-checkpoint", folder, $"{SingleName} or {IndexName}", found, advice);

        bool Has(string pattern) => Directory.EnumerateFiles(folder, pattern).Any();
    }

    private void Add(SafetensorsFile file)
    {
        _files.Add(file);
        foreach (var tensor in file.Tensors.Values)
            if (!_tensors.TryAdd(tensor.Name, tensor)) throw Disagreement(file.Path, $"tensor '{tensor.Name}' in one shard", "it in two");
    }

    /// <summary>Takes the prefix of a wrapper away where every name has it, so that no two can become one.</summary>
    private void Unwrap()
    {
        if (_tensors.Keys.Any(AdapterNames.IsFactor))
            return; // the names of an adapter, of which a run keeps checkpoints
        while (_tensors.Count > 0 && Array.Find(Wrappers, w => _tensors.Keys.All(name => name.Length > w.Length && name.StartsWith(w, StringComparison.Ordinal))) is { } prefix)
        {
            SafetensorsTensor[] tensors = [.. _tensors.Values.Select(tensor => tensor.Named(tensor.Name[prefix.Length..]))];
            _tensors.Clear();
            foreach (var tensor in tensors) _tensors.Add(tensor.Name, tensor);
            Prefix += prefix;
        }
    }

    private void OpenShards(string index)
    {
        IndexPath = index;
        var places = ReadIndex(index);
        foreach (var shard in places.Values.Distinct().Order(StringComparer.Ordinal))
        {
            if (shard is "" or "." or ".." || shard.AsSpan().ContainsAny('/', '\\', '\0')) throw Disagreement(index, "shards beside the index", $"'{shard}'");
            Add(SafetensorsFile.Open(System.IO.Path.Combine(System.IO.Path.GetDirectoryName(index)!, shard)));
        }
        foreach (var (name, shard) in places)
            if (!_tensors.TryGetValue(name, out var tensor) || System.IO.Path.GetFileName(tensor.FilePath) != shard)
                throw Disagreement(index, $"tensor '{name}' in {shard}", tensor is null ? "no such tensor" : tensor.FilePath);
        if (_tensors.Keys.FirstOrDefault(name => !places.ContainsKey(name)) is { } extra)
            throw Disagreement(index, "an entry for each tensor", $"none for '{extra}'");
        if (_files.Count == 0) throw Disagreement(index, "at least one shard", "none");
    }

    private static Dictionary<string, string> ReadIndex(string index)
    {
        try
        {
            FilePlace.RequireRegular(index);
            var bytes = File.ReadAllBytes(index);
            if (FileContent.Other(bytes) is var (found, advice)) throw new HaloException("read-checkpoint", index, "a JSON file", found, advice);
            if (JsonDuplicate.Find(bytes) is { } twice)
                throw new HaloException("read-checkpoint", index, "each tensor once", twice, "Fetch or write the file again.");
            using var json = JsonDocument.Parse(bytes, new JsonDocumentOptions { AllowDuplicateProperties = false });
            return json.RootElement.GetProperty("weight_map").EnumerateObject().ToDictionary(p => p.Name, p => p.Value.GetString() ?? "");
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or KeyNotFoundException or IOException or UnauthorizedAccessException)
        {
            throw new HaloException("read-checkpoint", index, "a JSON object with 'weight_map'", e.Message.TrimEnd('.'), "Fetch or write the file again.", e);
        }
    }

    private static HaloException Disagreement(string subject, string expected, string found) =>
        new("read-checkpoint", subject, expected, found, "The checkpoint is incomplete or mixed: fetch all of its files again.");
}
