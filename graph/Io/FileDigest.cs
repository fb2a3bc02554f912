using System.Security.Cryptography;

namespace Halo.Io;

/// <summary>Digests of files.</summary>
internal static class FileDigest
{
    /// <summary>Lower-case hexadecimal hash of a file's content.</summary>
    public static string Sha256(string path)
    {
        FilePlace.RequireRegular(path);
        using var stream = File.OpenRead(path);
        return Convert.ToHexStringLower(SHA256.HashData(stream));
    }
}
