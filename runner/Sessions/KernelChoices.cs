namespace Halo.Training;

/// <summary>What runs the operators of com.halo.</summary>
public enum OperatorKernels
{
    /// <summary>The kernels of the native library.</summary>
    Native,

    /// <summary>The function bodies in the model, by ONNX Runtime's own operators: slower, and nothing but ONNX Runtime needed.</summary>
    Functions,
}

/// <summary>Whose kernels run attention on a GPU.</summary>
public enum AttentionKernels
{
    /// <summary>cuDNN's where it is there and takes the node (16-bit types, no documents), else ours.</summary>
    Auto,

    /// <summary>Ours.</summary>
    Halo,

    /// <summary>cuDNN's; an attention that it does not take is an error.</summary>
    Cudnn,
}
