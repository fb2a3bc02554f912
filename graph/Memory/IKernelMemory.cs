using Halo.Ir;

namespace Halo.Memory;

/// <summary>What the kernels of one runtime do with memory, by node.</summary>
internal interface IKernelMemory
{
    /// <summary>Whether the first output lies where the first input does and takes no memory of its own.</summary>
    bool IsView(Node node);

    /// <summary>The inputs, in order of preference, that an output may overwrite where sizes are the same and nobody reads them any more.</summary>
    IReadOnlyList<int> MayOverwrite(Node node, int output);

    /// <summary>Whether outputs lie on the host, such as sizes.</summary>
    bool IsOnHost(Node node);

    /// <summary>Bytes that the node takes while it runs, besides inputs and outputs.</summary>
    long WorkBytes(Node node);
}
