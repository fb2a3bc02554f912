using System.IO.Hashing;
using Halo.Io;

namespace Halo.Models.Weights;

/// <summary>A digest of all bytes of a safetensors file, header and tensors: XXH3 of 64 bits. It finds accidents, not forgery.</summary>
/// <remarks>Of each piece of <see cref="FileScan"/> offset and bytes, then the size: what is not in it is zeros.</remarks>
internal static class WeightsDigest
{
    /// <summary>16 hexadecimal digits. The file is read as a whole, at the rate of the disk.</summary>
    /// <exception cref="HaloException">It cannot be read.</exception>
    public static string Of(SafetensorsFile file)
    {
        var hash = new XxHash3();
        try
        {
            hash.Append(BitConverter.GetBytes(FileScan.Read(file.Path, (offset, bytes) =>
            {
                hash.Append(BitConverter.GetBytes(offset));
                hash.Append(bytes);
            })));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw SafetensorsHeader.Defect(file.Path, "a file that can be read", e.Message.TrimEnd('.'));
        }
        return TensorDigests.Text(hash);
    }
}
