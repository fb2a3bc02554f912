using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;
using System.Text;

namespace Halo.CustomOps;

/// <summary>The native library: kernels for the operators of com.halo, loaded by ONNX Runtime.</summary>
public static class NativeOperators
{
    /// <summary>
    /// The library: that with CUDA where the package Halo.CustomOps.Cuda or the tool halo-cuda brought one, else that of this package or build. Beside the
    /// application, or where a package's native files lie; the first place where there is none.
    /// </summary>
    public static string LibraryPath { get; } = Found(["libhalo-cuda.so", "libhalo.so"]) ?? Path.Combine(AppContext.BaseDirectory, "libhalo.so");

    private static readonly Lazy<string?> FoundProblem = new(() => ProblemOf(LibraryPath));

    public static bool IsBuilt => File.Exists(LibraryPath);

    /// <summary>Why the library cannot be loaded, such as a C library older than it was built for; null where it can.</summary>
    public static string? Problem => FoundProblem.Value;

    internal static string? ProblemOf(string path)
    {
        try
        {
            NativeLibrary.Load(path); // never unloaded: whoever asks uses it
            return null;
        }
        catch (Exception e) when (e is DllNotFoundException or BadImageFormatException)
        {
            return !File.Exists(path) ? "no such file" : e.Message.TrimEnd().Split('\n')[^1].Trim().TrimEnd('.'); // the loader's own words come last
        }
    }

    /// <summary>The first of the names in the application's folder, in those that its host was told of, or in the layout of packages.</summary>
    private static string? Found(string[] names)
    {
        var told = (AppContext.GetData("NATIVE_DLL_SEARCH_DIRECTORIES") as string ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries);
        string[] folders = [AppContext.BaseDirectory, Path.Combine(AppContext.BaseDirectory, "runtimes", "linux-x64", "native"), .. told];
        return names.SelectMany(name => folders.Select(folder => Path.Combine(folder, name))).FirstOrDefault(File.Exists);
    }

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

    /// <summary>What the library knows of CUDA, as (what, found); empty where it was built without.</summary>
    public static IReadOnlyList<(string What, string Found)> CudaReport() =>
        [.. Lines("HaloCudaReport").Select(line => line.Split('\t', 2)).Select(parts => (parts[0], parts[1]))];

    /// <summary>Whether NCCL carries between ranks, tried by one; null where there is no GPU.</summary>
    public static string? NcclReport() => Lines("HaloNcclReport").FirstOrDefault();

    /// <summary>What went wrong in the provider since the last call: "node", "memory" and what belongs to them.</summary>
    public static IReadOnlyList<string[]> CudaProblems() => [.. Lines("HaloCudaProblems").Select(line => line.Split('\t'))];

    /// <summary>Whose kernels ran attention on a GPU since the last call: "cudnn", nodes, its version; "halo", nodes, why not cuDNN's.</summary>
    public static IReadOnlyList<string[]> CudaAttention() => [.. Lines("HaloCudaAttention").Select(line => line.Split('\t', 3))];

    /// <summary>
    /// Runs of each GPU since the last call: replays of a recording, those whose nodes were launched one by one, and whether HALO_CUDA_SYNC=1 keeps sessions
    /// from recording.
    /// </summary>
    public static IReadOnlyList<(int Ordinal, long Replayed, long Launched, bool NeverRecords)> CudaRecordings() =>
        [.. Lines("HaloCudaRecordings").Select(line => Array.ConvertAll(line.Split('\t'), long.Parse)).Select(f => ((int)f[0], f[1], f[2], f[3] != 0))];

    /// <summary>Memory of each GPU that was used, in bytes: in use, at the most since the last call, backed by the driver, and what the GPU has.</summary>
    public static IReadOnlyList<(int Ordinal, long InUse, long Peak, long Reserved, long Total)> CudaMemory() =>
        [.. Lines("HaloCudaMemory").Select(line => Array.ConvertAll(line.Split('\t'), long.Parse)).Select(f => ((int)f[0], f[1], f[2], f[3], f[4]))];

    /// <summary>Zeros in page-locked memory of the host, which kernels of a GPU read and write where it lies; 0 where there is none.</summary>
    public static nint Pin(long bytes)
    {
        unsafe
        {
            return ((delegate* unmanaged<long, nint>)NativeLibrary.GetExport(Library(), "HaloCudaPin"))(bytes);
        }
    }

    /// <summary>Gives back what <see cref="Pin"/> gave.</summary>
    public static void Unpin(nint memory)
    {
        unsafe
        {
            ((delegate* unmanaged<nint, void>)NativeLibrary.GetExport(Library(), "HaloCudaUnpin"))(memory);
        }
    }

    /// <summary>The stream (cudaStream_t) on which HaloCuda's work and copies of a GPU run, in order; 0 where there is no such GPU.</summary>
    /// <param name="ordinal">Which GPU, from 0.</param>
    public static nint CudaStream(int ordinal)
    {
        unsafe
        {
            return ((delegate* unmanaged<int, nint>)NativeLibrary.GetExport(Library(), "HaloCudaStream"))(ordinal);
        }
    }

    /// <summary>Times the CUDA kernels, a line of JSON each: versions, ceilings, kernels; <c>provider/benchmarks/benchmarks.h</c> has the keys.</summary>
    /// <param name="part">Of the names of those to time; empty for all.</param>
    /// <param name="line">Is given each line when it is there. What it throws ends the run and is thrown on.</param>
    /// <exception cref="InvalidOperationException">There is no GPU, a library is missing, or a kernel failed.</exception>
    public static void BenchKernels(string part, Action<string> line) => BenchKernels(LibraryPath, part, line);

    internal static void BenchKernels(string libraryPath, string part, Action<string> line)
    {
        var library = NativeLibrary.Load(libraryPath);
        var reader = new LineReader(line);
        var context = GCHandle.Alloc(reader);
        try
        {
            unsafe
            {
                var run = (delegate* unmanaged<byte*, delegate* unmanaged<nint, nint, int>, nint, nint>)NativeLibrary.GetExport(library, "HaloBenchKernels");
                fixed (byte* text = Encoding.UTF8.GetBytes(part + '\0'))
                {
                    var problem = Marshal.PtrToStringUTF8(run(text, &PassLine, GCHandle.ToIntPtr(context)));
                    reader.Thrown?.Throw();
                    if (problem is { Length: > 0 })
                        throw new InvalidOperationException($"bench: kernels: {problem}");
                }
            }
        }
        finally
        {
            context.Free();
        }
    }

    [UnmanagedCallersOnly]
    private static int PassLine(nint context, nint line) => ((LineReader)GCHandle.FromIntPtr(context).Target!).Take(line) ? 1 : 0;

    /// <summary>Passes lines on. An exception may not cross native frames, so it is kept until the call is over.</summary>
    private sealed class LineReader(Action<string> line)
    {
        public ExceptionDispatchInfo? Thrown { get; private set; }

        public bool Take(nint text)
        {
            try
            {
                line(Marshal.PtrToStringUTF8(text)!);
                return true;
            }
            catch (Exception e)
            {
                Thrown = ExceptionDispatchInfo.Capture(e);
                return false;
            }
        }
    }

    /// <summary>The library's schemas, one line an operator, sorted; the form of <see cref="HaloOperator.Schema"/>.</summary>
    public static IReadOnlyList<string> Schemas() => Lines("HaloSchemas");

    /// <summary>What C++ and C# both know, as fields of a line each: "format", "hadamard", "product-workspace"; <c>plugin/constants.cc</c> has the rest.</summary>
    public static IReadOnlyList<string[]> Constants() => [.. Lines("HaloConstants").Select(line => line.Split('\t'))];

    /// <exception cref="HaloException">It is not there, or this system cannot load it.</exception>
    private static nint Library() => Problem is not { } problem ? NativeLibrary.Load(LibraryPath)
        : throw new HaloException("native-operators", LibraryPath, "a library that this system can load", problem,
            "Build it on this machine or an older system, or run with --operators functions.");

    /// <summary>The text that an entry point without arguments gives.</summary>
    private static string[] Lines(string entryPoint)
    {
        var library = Library();
        unsafe
        {
            var text = (delegate* unmanaged<nint>)NativeLibrary.GetExport(library, entryPoint);
            return Marshal.PtrToStringUTF8(text())!.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        }
    }
}
