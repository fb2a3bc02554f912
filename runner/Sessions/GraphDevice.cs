namespace Halo.Runner.Sessions;

/// <summary>The kinds of <see cref="Device"/>.</summary>
public enum GraphDevice
{
    Cpu,

    /// <summary>An NVIDIA GPU, by the provider in the native library.</summary>
    Cuda,
}
