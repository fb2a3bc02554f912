using Halo.CustomOps;

namespace Halo.Runner.Sessions;

/// <summary>How steps of decoding ran on a GPU: replayed from a recording, or launched node by node, which takes the host several times as long.</summary>
internal static class RecordingUse
{
    /// <summary>A line for the log, of what ran since the last call.</summary>
    /// <param name="provider">Whose session ran them.</param>
    /// <param name="unrecorded">Why the session was not asked to record; null where it was.</param>
    public static string Take(CudaProvider provider, string? unrecorded)
    {
        var runs = NativeOperators.CudaRecordings();
        var (replayed, launched) = (runs.Sum(r => r.Replayed), runs.Sum(r => r.Launched));
        if (unrecorded is not null)
            return $"steps: launched node by node, as {unrecorded}";
        if (provider == CudaProvider.Onnxruntime)
            return "steps: recorded and replayed by ONNX Runtime's provider";
        return runs.Any(r => r.NeverRecords) ? $"steps: {launched} runs launched node by node, as HALO_CUDA_SYNC=1 waits after each node"
            : $"steps: {replayed} replayed from a recording; {launched} runs launched node by node, the prompt and the first step of a recording";
    }
}
