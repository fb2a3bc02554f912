using System.Globalization;
using Halo.Analysis;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Memory;
using Halo.Passes.Cleanup;
using Halo.Passes.Infra;
using Halo.Serialization;
using Microsoft.ML.OnnxRuntime;

using TensorElementType = Microsoft.ML.OnnxRuntime.Tensors.TensorElementType;

namespace Halo.Runner.Sessions;

/// <summary>An ONNX Runtime session with every input and output bound once to a buffer that stays where it is.</summary>
/// <remarks>Bind all names, then <see cref="Run"/> as often as needed; new input content is written into the bound buffers.</remarks>
internal sealed class GraphSession : IDisposable
{
    /// <summary>The number of a run that is not recorded.</summary>
    public const int NoRecording = -1;

    private readonly SessionOptions _options;
    private readonly InferenceSession _session;
    private readonly OrtIoBinding _binding;
    private readonly Dictionary<int, RunOptions> _runs = []; // by the number of the recording
    private readonly string _name;
    private readonly Func<long>? _activationBytes; // for a message: the graph is read again then
    private readonly long? _rows; // null: as the inputs say

    /// <param name="path">The model; external data beside it is mapped, not read.</param>
    /// <param name="settings">How to run it.</param>
    /// <exception cref="HaloException">ONNX Runtime refuses the model.</exception>
    public GraphSession(string path, SessionSettings settings)
        : this(Path.GetFileName(path), settings, options => Open(path, settings, options), () => ActivationBytes(path)) { }

    /// <param name="name">What messages call the model.</param>
    /// <param name="bytes">The serialized model.</param>
    /// <param name="settings">How to run it.</param>
    public GraphSession(string name, byte[] bytes, SessionSettings settings)
        : this(name, settings, options => Open(bytes, settings, options), () => ActivationBytes(bytes)) { }

    /// <summary>A session of a model in memory, by way of a file that is mapped: weights of any size, and no second copy of them in this process.</summary>
    /// <param name="name">What messages call the model.</param>
    /// <param name="model">The model; tensors whose bytes are read elsewhere are read once.</param>
    /// <param name="settings">How to run it.</param>
    /// <exception cref="HaloException">ONNX Runtime refuses the model.</exception>
    public static GraphSession Of(string name, Model model, SessionSettings settings) => Of(name, model, settings, () => ActivationBytes(model), rows: null);

    /// <summary>A session of a training or evaluation graph; on a GPU its memory is planned without the batch's size (<see cref="HiddenBatch"/>).</summary>
    /// <param name="path">The model.</param>
    /// <param name="settings">How to run it.</param>
    /// <param name="batch">Names of the inputs whose first axis is the batch.</param>
    /// <exception cref="HaloException">ONNX Runtime refuses the model.</exception>
    public static GraphSession OfBatch(string path, SessionSettings settings, IEnumerable<string> batch) => Hides(settings)
        ? OfBatch(Path.GetFileName(path), OnnxReader.Read(path, HaloOperators.Catalogue), settings, batch) : new GraphSession(path, settings);

    /// <summary>The same of a model in memory.</summary>
    /// <param name="name">What messages call the model.</param>
    /// <param name="model">The model, which stays as it is.</param>
    /// <param name="settings">How to run it.</param>
    /// <param name="batch">Names of the inputs whose first axis is the batch.</param>
    public static GraphSession OfBatch(string name, Model model, SessionSettings settings, IEnumerable<string> batch)
    {
        if (!Hides(settings))
            return Of(name, model, settings);
        string[] names = [.. batch];
        var hidden = model.Clone();
        HiddenBatch.In(hidden.Graph, names, new GpuKernelMemory(byCudnn: false));
        return Of(name, hidden, settings, () => ActivationBytes(model), model.Graph.Inputs.FirstOrDefault(i => names.Contains(i.Name))?.Shape?[0].Size);
    }

    /// <summary>ONNX Runtime's own provider is left as it is.</summary>
    private static bool Hides(SessionSettings settings) => settings.Device.IsGpu && settings.Provider != CudaProvider.Onnxruntime;

    private static GraphSession Of(string name, Model model, SessionSettings settings, Func<long> activationBytes, long? rows)
    {
        if (settings.Provider == CudaProvider.Onnxruntime)
            Fit(model);
        return new GraphSession(name, settings, options => Open(model, options), activationBytes, rows);
    }

    private GraphSession(string name, SessionSettings settings, Func<SessionOptions, InferenceSession> create, Func<long> activationBytes, long? rows = null)
    {
        (_name, _rows, Settings) = (name, rows, settings);
        if (settings.Device.IsGpu)
            _activationBytes = activationBytes;
        _options = settings.ToOptions();
        try
        {
            _session = create(_options);
        }
        catch (OnnxRuntimeException e) when (Device.IsGpu && GpuProblems.Take() is { Nodes.Count: > 0 } problems)
        {
            throw new HaloException("session", name, "a model whose every node has a kernel on the GPU", problems.NodeText,
                "Run it with --device cpu, or rewrite those nodes.", e);
        }
        catch (OnnxRuntimeException e)
        {
            throw new HaloException("session", name, "a model that ONNX Runtime can run", FirstLine(e),
                "Export it again, or report the operator named here.", e);
        }
        _binding = _session.CreateIoBinding();
    }

    /// <summary>How it runs.</summary>
    public SessionSettings Settings { get; }

    public Device Device => Settings.Device;

    /// <summary>Types and sizes of the inputs; -1 where a size is not fixed.</summary>
    public IReadOnlyDictionary<string, NodeMetadata> Inputs => _session.InputMetadata;

    public IReadOnlyDictionary<string, NodeMetadata> Outputs => _session.OutputMetadata;

    /// <summary>A tensor on the session's device for an input or output of fixed sizes.</summary>
    public DeviceTensor NewTensor(NodeMetadata tensor) =>
        new(Device, (Ir.ElementType)(int)tensor.ElementDataType, Array.ConvertAll(tensor.Dimensions, d => (long)d));

    /// <summary>A buffer on the host for an input or output of fixed sizes.</summary>
    public static OrtValue Allocate(NodeMetadata tensor) => Allocate(tensor.ElementDataType, Array.ConvertAll(tensor.Dimensions, d => (long)d));

    public static OrtValue Allocate(TensorElementType type, ReadOnlySpan<long> sizes) =>
        OrtValue.CreateAllocatedTensorValue(OrtAllocator.DefaultInstance, type, sizes.ToArray());

    public void BindInput(string name, OrtValue value) => _binding.BindInput(name, value);

    /// <summary>Binding an output to the buffer of an input updates it in place; the graph must read the input before it writes the output.</summary>
    public void BindOutput(string name, OrtValue value) => _binding.BindOutput(name, value);

    /// <summary>Lets each run make these outputs anew, in sizes that it finds: on the host, or where the session runs. No other output stays bound.</summary>
    public void BindNewOutputs(IEnumerable<(string Name, bool OnHost)> outputs)
    {
        ClearOutputs();
        foreach (var (name, onHost) in outputs)
            BindNewOutput(name, onHost);
    }

    /// <summary>What the last run gave, in the order in which outputs were bound.</summary>
    public IDisposableReadOnlyCollection<OrtValue> TakeOutputs() => _binding.GetOutputValues();

    /// <summary>No output stays bound.</summary>
    public void ClearOutputs() => _binding.ClearBoundOutputs();

    /// <summary>Lets each run make this output anew, in a size that it finds.</summary>
    public void BindNewOutput(string name, bool onHost) => _binding.BindOutputToDevice(name, onHost ? OrtMemoryInfo.DefaultInstance : Settings.Memory);

    /// <summary>Runs the graph.</summary>
    /// <param name="recording">
    /// Where <see cref="SessionSettings.Replays"/>: the number of the recording that is made by the first run and replayed by others, which must be bound alike;
    /// <see cref="NoRecording"/> for none.
    /// </param>
    /// <exception cref="InvalidOperationException">ONNX Runtime failed, or the device has no memory left.</exception>
    public void Run(int recording = 0)
    {
        try
        {
            _session.RunWithBinding(OptionsOf(recording), _binding);
        }
        catch (OnnxRuntimeException e) when (Device.IsGpu && GpuProblems.Take().Memory is { } shortage)
        {
            throw new InvalidOperationException($"run: '{_name}': {shortage.Text(Device.HeldBytes, Rows, _activationBytes!())}{Device.AdviceFor(shortage)}", e);
        }
        catch (OnnxRuntimeException e)
        {
            throw new InvalidOperationException($"run: '{_name}': ONNX Runtime failed: {FirstLine(e)}", e);
        }
    }

    /// <summary>Ends a profile begun by <see cref="SessionSettings.ProfilePrefix"/>; returns its file.</summary>
    public string EndProfiling() => _session.EndProfiling();

    public void Dispose()
    {
        _binding.Dispose();
        foreach (var run in _runs.Values)
            run.Dispose();
        _session.Dispose();
        _options.Dispose();
    }

    /// <summary>A session of the file, or of a copy where ONNX Runtime's own provider wants other forms.</summary>
    private static InferenceSession Open(string path, SessionSettings settings, SessionOptions options)
    {
        if (settings.Provider != CudaProvider.Onnxruntime)
            return new InferenceSession(path, options);
        var model = OnnxReader.Read(path, HaloOperators.Catalogue);
        return Fit(model) ? Open(model, options) : new InferenceSession(path, options);
    }

    /// <summary>Weights in files of one folder are mapped where they lie; others go to a file that is mapped until the session ends.</summary>
    private static InferenceSession Open(Model model, SessionOptions options)
    {
        if (OnnxWriter.ToBytesBesideWeights(model) is var (bytes, weights))
        {
            options.AddSessionConfigEntry("session.model_external_initializers_file_folder_path", weights);
            return new InferenceSession(bytes, options);
        }
        var folder = Directory.CreateTempSubdirectory("halo-session-").FullName;
        try
        {
            var copy = Path.Combine(folder, "model.onnx");
            OnnxWriter.Write(model, copy, externalData: true);
            return new InferenceSession(copy, options);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static InferenceSession Open(byte[] bytes, SessionSettings settings, SessionOptions options)
    {
        if (settings.Provider != CudaProvider.Onnxruntime)
            return new InferenceSession(bytes, options);
        var folder = Directory.CreateTempSubdirectory("halo-session-").FullName;
        try
        {
            var path = Path.Combine(folder, "model.onnx");
            File.WriteAllBytes(path, bytes);
            return Open(path, settings, options);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    /// <summary>Whether something changed.</summary>
    private static bool Fit(Model model)
    {
        ShapeInference.Run(model.Graph);
        return PassManager.Run(model, [new FitCudaProvider()], new PassOptions()).Passes.Any(p => p.Rewrites > 0);
    }

    private RunOptions OptionsOf(int recording)
    {
        if (_runs.TryGetValue(recording, out var known))
            return known;
        var run = new RunOptions();
        if (Settings.Replays && Device.IsGpu)
        {
            run.AddRunConfigEntry("gpu_graph_id", recording.ToString(CultureInfo.InvariantCulture));
            if (recording != NoRecording)
                run.AddRunConfigEntry("disable_synchronize_execution_providers", "1"); // whoever reads on the host waits for the GPU; the next launch does not
        }
        return _runs[recording] = run;
    }

    private long? Rows => _rows ?? Inputs.Values.FirstOrDefault(i => i.ElementDataType == TensorElementType.Int64 && i.Dimensions.Length == 2)?.Dimensions[0];

    private static long ActivationBytes(string path)
    {
        return ActivationBytes(OnnxReader.Read(path, HaloOperators.Catalogue));
    }

    private static long ActivationBytes(Model model)
    {
        ShapeInference.Run(model.Graph);
        return PeakMemory.Of(model.Graph);
    }

    private static long ActivationBytes(byte[] bytes)
    {
        var folder = Directory.CreateTempSubdirectory("halo-graph-").FullName;
        try
        {
            var path = Path.Combine(folder, "model.onnx");
            File.WriteAllBytes(path, bytes);
            return ActivationBytes(path);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static string FirstLine(Exception e) => e.Message.Split('\n')[0].TrimEnd('.', ' ');
}
