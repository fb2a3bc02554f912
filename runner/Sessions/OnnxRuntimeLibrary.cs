using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime;

namespace Halo.Runner.Sessions;

/// <summary>Which build of ONNX Runtime a process loads: the one that comes with the application, or the file that HALO_ONNXRUNTIME names.</summary>
/// <remarks>
/// Two of them cannot live in one process, and the one with the CUDA provider is too large to come along. Its providers are looked for beside it.
/// </remarks>
internal static class OnnxRuntimeLibrary
{
    public const string Variable = "HALO_ONNXRUNTIME";

    /// <summary>What the variable names; null where nothing is named.</summary>
    public static string? Named => Environment.GetEnvironmentVariable(Variable) is { Length: > 0 } path ? Path.GetFullPath(path) : null;

    /// <summary>Throws where the variable names no file.</summary>
    /// <exception cref="HaloException">It does.</exception>
    public static void Check()
    {
        if (Named is { } path && !File.Exists(path))
        {
            throw new HaloException("onnxruntime", Variable, "the file libonnxruntime.so, its providers beside it",
                Directory.Exists(path) ? $"a folder, {path}" : $"{path}, which is not there", "Name the file, or unset the variable.");
        }
    }

    /// <summary>Loads it, where it is not loaded.</summary>
    /// <exception cref="HaloException">The application brings none, or what the variable names is none.</exception>
    public static void Load()
    {
        Check();
        try
        {
            new SessionOptions().Dispose(); // the first call of the native library
        }
        catch (TypeInitializationException failure)
        {
            throw new HaloException("onnxruntime", "native library", $"one that comes with the application, or that {Variable} names",
                failure.GetBaseException().Message, "Add the package Microsoft.ML.OnnxRuntime, or Microsoft.ML.OnnxRuntime.Gpu.Linux, to the application.");
        }
    }

#pragma warning disable CA2255 // whatever touches ONNX Runtime first, this has run before
    [ModuleInitializer]
#pragma warning restore CA2255
    internal static void Choose()
    {
        if (Named is not { } path)
            return;
        OrtEnv.DisableDllImportResolver = true; // its own, which knows the folder of the application alone
        NativeLibrary.SetDllImportResolver(typeof(OrtEnv).Assembly,
            (name, _, _) => Path.GetFileNameWithoutExtension(name) == "onnxruntime" ? NativeLibrary.Load(path) : 0);
    }
}
