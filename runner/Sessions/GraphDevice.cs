namespace Halo.Training;

/// <summary>Where graphs run.</summary>
public enum GraphDevice
{
    Cpu,

    /// <summary>An NVIDIA GPU, by the provider in the native library.</summary>
    Cuda,
}
