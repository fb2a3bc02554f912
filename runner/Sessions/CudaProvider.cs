namespace Halo.Training;

/// <summary>Whose execution provider runs graphs on a GPU.</summary>
public enum CudaProvider
{
    /// <summary>HaloCuda, of the native library: a kernel for every node, the same bits each time.</summary>
    Halo,

    /// <summary>ONNX Runtime's own CUDA provider, with our kernels for the operators of com.halo; of the runtime's GPU build.</summary>
    Onnxruntime,
}
