using Halo.Models.Chat;
using Halo.Runner.Generation;
using Halo.Runner.Sessions;

namespace Halo.Training;

/// <summary>A model that writes text: an exported folder, a run, an artifact or a Hugging Face folder, in a session of ONNX Runtime.</summary>
/// <remarks>One thread at a time: calls share the key/value cache.</remarks>
public sealed class HaloModel : IDisposable
{
    private readonly InferenceModel _model;

    private HaloModel(InferenceModel model) => _model = model;

    /// <summary>Opens an exported folder as it is; of a run (its newest weights), an artifact or a Hugging Face folder the graph is made, in float32.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="device">Where it runs; on a GPU every node does.</param>
    /// <param name="threads">Threads on the CPU; 0 is one for each core.</param>
    /// <param name="adapter">Folder of a LoRA or DoRA adapter (PEFT) that is merged into the weights; null for none.</param>
    /// <exception cref="HaloException">None of these folders, a damaged one, or a device that is not there.</exception>
    public static HaloModel Open(string folder, GraphDevice device = GraphDevice.Cpu, int threads = 0, string? adapter = null) =>
        new(InferenceModel.Open(folder, new SessionSettings { Device = new Device(device), Threads = threads }, adapter: adapter));

    /// <summary>Continues raw text, behind the BOS token, to a stop token of the model or <paramref name="maxTokens"/>.</summary>
    /// <param name="prompt">The text.</param>
    /// <param name="maxTokens">Longest completion, in tokens; at least 1.</param>
    /// <param name="sampling">How tokens are chosen; null: the most likely one.</param>
    /// <returns>The completion, without the prompt and without special tokens.</returns>
    /// <exception cref="HaloException">A setting out of its range, or a prompt longer than the model takes.</exception>
    public string Complete(string prompt, int maxTokens = 256, SamplingSettings? sampling = null) => Write(_model.Encode(prompt), maxTokens, sampling);

    /// <summary>Answers a user's message by the model's chat template.</summary>
    /// <param name="message">The message; not empty.</param>
    /// <param name="maxTokens">Longest answer, in tokens; at least 1.</param>
    /// <param name="sampling">How tokens are chosen; null: the most likely one.</param>
    /// <returns>The answer, without special tokens.</returns>
    /// <exception cref="HaloException">No chat template, a setting out of its range, or a message longer than the model takes.</exception>
    public string Answer(string message, int maxTokens = 256, SamplingSettings? sampling = null) =>
        Write(_model.Chat.EncodePrompt([new ChatMessage("user", message)]), maxTokens, sampling);

    public void Dispose() => _model.Dispose();

    private string Write(int[] prompt, int maxTokens, SamplingSettings? sampling)
    {
        if (maxTokens < 1)
            throw new HaloException("generate", nameof(maxTokens), "at least 1", $"{maxTokens}", "Give a larger number, or leave it out.");
        (sampling ??= SamplingSettings.Greedy).Check();
        return _model.Decode(new Generator(_model.Decoder, sampling, _model.StopIds, maxTokens).Generate([prompt])[0]);
    }
}
