using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Halo.Runner.Sessions;

/// <summary>Switches ONNX Runtime's telemetry off, which otherwise keeps a device id and a database of events under the user's home.</summary>
/// <remarks>
/// The runtime reads ORT_DISABLE_TELEMETRY from the native environment when its first object is made: later calls stop later events only, and .NET's own
/// environment is a copy that native code does not see. What a user has set stays. [ONNX Runtime, Privacy.md]
/// </remarks>
internal static partial class Telemetry
{
    private const string Variable = "ORT_DISABLE_TELEMETRY";

    /// <summary>What <c>halo doctor</c> says of it.</summary>
    public static string State => Environment.GetEnvironmentVariable(Variable) is { Length: > 0 } own ? $"{Variable}={own}, as the environment has it"
        : $"off ({Variable}=1)";

#pragma warning disable CA2255 // of an executable: whatever touches ONNX Runtime first, this has run before
    [ModuleInitializer]
#pragma warning restore CA2255
    internal static void SwitchOff()
    {
        if (OperatingSystem.IsWindows())
        {
            if (Environment.GetEnvironmentVariable(Variable) is null)
                _ = PutEnv(Variable, "1");
        }
        else
        {
            _ = SetEnv(Variable, "1", overwrite: 0);
        }
    }

    [LibraryImport("libc", EntryPoint = "setenv", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int SetEnv(string name, string value, int overwrite);

    [LibraryImport("ucrtbase", EntryPoint = "_putenv_s", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int PutEnv(string name, string value);
}
