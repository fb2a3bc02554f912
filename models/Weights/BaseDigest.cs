using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;

namespace Halo.Models.Weights;

/// <summary>A hash that tells the tensors of a checkpoint from others, however they are spread over files.</summary>
/// <remarks>
/// SHA-256 over the tensors in the order of their names: name, type and sizes, then all bytes up to 64 KiB, else 16 pieces of 4 KiB from first to last, evenly
/// apart, as <see cref="WeightsDigest"/> takes them.
/// </remarks>
internal static class BaseDigest
{
    private const int Pieces = 16, PieceBytes = 1 << 12;

    /// <summary>Lower-case hexadecimal.</summary>
    public static string Of(CheckpointReader checkpoint)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (var tensor in checkpoint.Tensors.Values.OrderBy(t => t.Name, StringComparer.Ordinal))
        {
            hash.AppendData(Encoding.UTF8.GetBytes($"{tensor.Name} {tensor.DType} "));
            hash.AppendData(MemoryMarshal.AsBytes<long>(tensor.Shape.ToArray()));
            if (tensor.SizeBytes <= Pieces * PieceBytes)
                hash.AppendData(tensor.Slice(0, (int)tensor.SizeBytes));
            for (var piece = 0; piece < Pieces && tensor.SizeBytes > Pieces * PieceBytes; piece++)
                hash.AppendData(tensor.Slice((tensor.SizeBytes - PieceBytes) * piece / (Pieces - 1), PieceBytes));
        }
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }
}
