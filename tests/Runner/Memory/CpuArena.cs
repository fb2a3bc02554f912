using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime;

namespace Halo.Tests.Runner.Memory;

/// <summary>What ONNX Runtime's arena on the CPU gave out, by the statistics of its C interface, which the C# one does not pass on.</summary>
/// <remarks>
/// As it is set by default the arena grows by powers of two and counts a chunk whole unless 128 MiB of it are left over: its figures are of chunks. Here it
/// grows by what is asked for and splits every chunk, so that they are of tensors.
/// </remarks>
internal static partial class CpuArena
{
    private static readonly Lazy<bool> Registered = new(() =>
    {
        using var memory = new OrtMemoryInfo(OrtMemoryInfo.allocatorCPU, OrtAllocatorType.ArenaAllocator, 0, OrtMemType.Default);
        using var settings = new OrtArenaCfg(maxMemory: 0, arenaExtendStrategy: 1, initialChunkSizeBytes: -1, maxDeadBytesPerChunk: 1);
        OrtEnv.Instance().CreateAndRegisterAllocator(memory, settings);
        return true;
    });

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    private delegate nint GetApi(uint version);

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    private delegate nint GetStats(nint allocator, out nint pairs);

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    private delegate void GetPairs(nint pairs, out nint keys, out nint values, out nuint count);

    /// <summary>Lets a session take from an arena of tensors; all such sessions of the process share it.</summary>
    public static void Use(SessionOptions options)
    {
        _ = Registered.Value;
        options.AddSessionConfigEntry("session.use_env_allocators", "1");
    }

    /// <summary>Bytes at the most so far.</summary>
    public static long MostInUse(InferenceSession session)
    {
        using var allocator = new OrtAllocator(session, OrtMemoryInfo.DefaultInstance);
        var table = typeof(InferenceSession).Assembly.GetType("Microsoft.ML.OnnxRuntime.OrtApi")!;
        var getApi = Marshal.GetDelegateForFunctionPointer<GetApi>(Marshal.ReadIntPtr(OrtGetApiBase()));
        var api = getApi(23); // the first with statistics
        T Function<T>(string name) where T : Delegate => Marshal.GetDelegateForFunctionPointer<T>(Marshal.ReadIntPtr(api, (int)Marshal.OffsetOf(table, name)));
        var handle = (nint)typeof(OrtAllocator).GetProperties(System.Reflection.BindingFlags.Instance | System.Reflection.BindingFlags.NonPublic)
            .First(p => p.PropertyType == typeof(nint)).GetValue(allocator)!;
        Assert.Equal(0, Function<GetStats>("AllocatorGetStats")(handle, out var pairs));
        Function<GetPairs>("GetKeyValuePairs")(pairs, out var keys, out var values, out var count);
        var most = Enumerable.Range(0, (int)count).First(i => Text(keys, i) == "MaxInUse");
        return long.Parse(Text(values, most), System.Globalization.CultureInfo.InvariantCulture);

        static string Text(nint strings, int i) => Marshal.PtrToStringUTF8(Marshal.ReadIntPtr(strings, i * nint.Size))!;
    }

    [LibraryImport("onnxruntime")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial nint OrtGetApiBase();
}
