using System.Runtime.InteropServices;

namespace Halo.CustomOps;

/// <summary>The native library: kernels for the operators of com.halo, loaded by ONNX Runtime.</summary>
public static class NativeOperators
{
    /// <summary>Where the build puts the library: beside the assembly.</summary>
    public static string LibraryPath { get; } = Path.Combine(AppContext.BaseDirectory, "libhalo.so");

    public static bool IsBuilt => File.Exists(LibraryPath);

    /// <summary>Adds the kernels to a session's options, by the runtime's own way of doing so.</summary>
    /// <param name="registerLibrary">Takes the path, such as <c>SessionOptions.RegisterCustomOpLibrary</c>.</param>
    /// <exception cref="HaloException">The library was not built, or refuses this machine.</exception>
    public static void Register(Action<string> registerLibrary)
    {
        if (!IsBuilt)
        {
            throw new HaloException("native-operators", LibraryPath, "the native library", "no such file",
                "Build without -p:SkipNative=true, or run with --operators functions.");
        }
        try
        {
            registerLibrary(LibraryPath);
        }
        catch (Exception e) when (e is not HaloException)
        {
            throw new HaloException("native-operators", LibraryPath, "a library that ONNX Runtime can load", e.Message.Split('\n')[0].TrimEnd('.'),
                "Build it on this machine, or run with --operators functions.", e);
        }
    }

    /// <summary>The library's schemas, one line an operator, sorted; the form of <see cref="HaloOperator.Schema"/>.</summary>
    public static IReadOnlyList<string> Schemas()
    {
        var library = NativeLibrary.Load(LibraryPath);
        unsafe
        {
            var schemas = (delegate* unmanaged<nint>)NativeLibrary.GetExport(library, "HaloSchemas");
            return Marshal.PtrToStringUTF8(schemas())!.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        }
    }
}
