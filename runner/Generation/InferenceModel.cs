using Halo.CustomOps;
using Halo.Ir;
using Halo.Models.Chat;
using Halo.Models.HuggingFace;
using Halo.Models.Tokenizers;
using Halo.Models.Weights;
using Halo.Runner.Export;
using Halo.Runner.Sessions;
using Halo.Serialization;

namespace Halo.Runner.Generation;

/// <summary>A model that generates: an inference graph in a session, and what turns text into its tokens and back.</summary>
internal sealed class InferenceModel : IDisposable
{
    private readonly Lazy<ChatTokenizer> _chat;

    private InferenceModel(string path, DecoderSession decoder, DecoderConfig config, HfTokenizer tokenizer, IReadOnlySet<int> stopIds)
    {
        (Path, Decoder, Config, Tokenizer, StopIds) = (path, decoder, config, tokenizer, stopIds);
        _chat = new Lazy<ChatTokenizer>(() => new ChatTokenizer(tokenizer));
    }

    /// <summary>The folder it comes from.</summary>
    public string Path { get; }

    public DecoderSession Decoder { get; }

    public DecoderConfig Config { get; }

    public HfTokenizer Tokenizer { get; }

    /// <summary>Ids that end a completion.</summary>
    public IReadOnlySet<int> StopIds { get; }

    /// <exception cref="HaloException">The tokenizer has no chat template.</exception>
    public ChatTokenizer Chat => _chat.Value;

    /// <summary>
    /// Opens an inference folder as it is; the inference graph of a Hugging Face folder, run or artifact is made for this session, in float32.
    /// </summary>
    /// <param name="path">The folder.</param>
    /// <param name="settings">Where and how it runs; what runs operators of com.halo is chosen here.</param>
    /// <param name="useCache">False runs whole rows for each token.</param>
    /// <param name="adapter">Folder of an adapter that is merged into the weights; null for none.</param>
    /// <exception cref="HaloException">None of these folders, or a damaged one.</exception>
    public static InferenceModel Open(string path, SessionSettings settings, bool useCache = true, string? adapter = null)
    {
        settings.Device.Require();
        if (File.Exists(path))
        {
            throw new HaloException("generate", path, "an inference folder, a run, an artifact or a Hugging Face folder", "a file",
                "Name the folder that it lies in.");
        }
        if (!InferenceFolder.Is(path))
            return OfSource(path, settings, useCache, adapter);
        if (adapter is not null)
        {
            throw new HaloException("generate", "--adapter", "a model whose weights it can be merged into", "an inference folder",
                "Name the model that it was made of.");
        }
        var folder = InferenceFolder.Open(path);
        CheckProvider(path, folder.Graph, settings);
        var own = SettingsFor(folder.Graph, settings);
        var decoder = settings.Device.IsGpu
            ? DecoderSession.Of(folder.ModelPath, OnnxReader.Read(folder.ModelPath, HaloOperators.Catalogue), own, folder.MaxPositions, useCache)
            : new DecoderSession(new GraphSession(folder.ModelPath, own), folder.MaxPositions, useCache);
        return new InferenceModel(folder.Path, decoder, folder.Config, folder.Tokenizer,
            StopTokens.Of(folder.Path, folder.Config, folder.Tokenizer));
    }

    /// <summary>The ids of raw text behind the BOS token, if there is one.</summary>
    public int[] Encode(string text)
    {
        var bos = Tokenizer.BosId ?? Config.BosTokenId;
        var ids = Tokenizer.Encode(text, addSpecialTokens: false);
        return bos is { } id ? [id, .. ids] : ids;
    }

    /// <summary>The text of a completion.</summary>
    public string Decode(Completion completion) => Tokenizer.Decode([.. completion.Ids], skipSpecialTokens: true);

    public void Dispose() => Decoder.Dispose();

    private static InferenceModel OfSource(string path, SessionSettings settings, bool useCache, string? adapter)
    {
        using var source = InferenceSource.Open(path, "an inference folder, a run, an artifact, or a Hugging Face folder with a config.json");
        if (adapter is not null)
            source.Adapt(adapter);
        var tokenizer = source.OpenTokenizer();
        FiniteValues.Check(source.Weights.Path, source.Weights.Tensors.Values);
        var model = InferenceProjection.Of(source);
        var graph = InferenceGraph.Of(model, path);
        CheckProvider(path, graph, settings);
        var decoder = DecoderSession.Of("inference graph", model, SettingsFor(graph, settings), source.Config.CachedPositions, useCache);
        return new InferenceModel(source.Path, decoder, source.Config, tokenizer,
            StopTokens.Of(source.Companions, source.Config, tokenizer));
    }

    /// <summary>ONNX Runtime's own CUDA provider leaves attention over caches of float32 to the CPU.</summary>
    private static void CheckProvider(string path, InferenceGraph graph, SessionSettings settings)
    {
        if (settings.Device.IsGpu && settings.Provider == CudaProvider.Onnxruntime && graph.CacheType == ElementType.Float)
        {
            throw new HaloException("session", path, "a graph of float16 for ONNX Runtime's provider, which has no GroupQueryAttention in float32",
                "one of float32", "Export it with --weights fp16, or with --activations fp16 beside fp8, int8 or int4, or run with --provider halo.");
        }
    }

    /// <summary>The native library is for operators that ONNX Runtime does not have; without any, nothing but ONNX Runtime is needed.</summary>
    private static SessionSettings SettingsFor(InferenceGraph graph, SessionSettings settings) => settings with
    {
        Operators = graph.UsesHaloOperators ? OperatorKernels.Native : OperatorKernels.Functions,
        AllowsHostNodes = true,
    };
}
