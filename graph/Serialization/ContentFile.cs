using System.Security.Cryptography;
using System.Text.RegularExpressions;
using Halo.Io;
using Halo.Ir;

namespace Halo.Serialization;

/// <summary><c>NAME.onnx.DIGEST.data</c>: external data of a graph outside a folder that appears whole, named by its content.</summary>
/// <remarks>
/// Graph and data take their places by two renames. Under one name the old graph would have the new data in between, of the same sizes, and nobody would
/// know.
/// </remarks>
internal static partial class ContentFile
{
    /// <param name="graph">The graph's file.</param>
    /// <param name="initializers">Their content gives the name; is read as a whole.</param>
    public static string Of(string graph, IEnumerable<Value> initializers)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (var value in initializers.Where(v => v.Initializer!.Strings is null))
        {
            hash.AppendData(BitConverter.GetBytes(value.Initializer!.SizeBytes));
            value.Initializer.ReadChunks(bytes =>
            {
                hash.AppendData(bytes);
                return true;
            });
        }
        return $"{graph}.{Convert.ToHexStringLower(hash.GetHashAndReset())[..16]}.data";
    }

    /// <summary>Removes the data of graphs that stood under the same name.</summary>
    /// <exception cref="HaloException">The disk does not let them go.</exception>
    public static void RemoveOthers(string graph, string kept)
    {
        var (folder, name) = (Path.GetDirectoryName(Path.GetFullPath(graph))!, Path.GetFileName(graph));
        foreach (var file in Directory.EnumerateFiles(folder, $"{name}.*.data"))
        {
            if (Path.GetFileName(file) != Path.GetFileName(kept) && Form().IsMatch(Path.GetFileName(file)[name.Length..]))
                AtomicFile.Remove(file);
        }
    }

    [GeneratedRegex(@"^\.[0-9a-f]{16}\.data\z")]
    private static partial Regex Form();
}
