using System.Security.Cryptography;

namespace Halo.Models.Weights;

/// <summary>A hash that tells the weights of a safetensors file from others, without reading all of them.</summary>
/// <remarks>
/// SHA-256 of the header, then of each tensor in the header's order: all bytes up to 64 KiB, else 16 pieces of 4 KiB from first to last, evenly apart. Training
/// changes nearly all elements of a tensor; a single one that is changed between the pieces is not seen.
/// </remarks>
public static class WeightsDigest
{
    private const int Pieces = 16, PieceBytes = 1 << 12;

    /// <summary>Lower-case hexadecimal.</summary>
    public static string Of(SafetensorsFile file)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        using var handle = File.OpenHandle(file.Path, options: FileOptions.RandomAccess);
        var buffer = new byte[Pieces * PieceBytes];
        for (var at = 0L; at < file.DataStart; at += buffer.Length)
            Append(at, (int)Math.Min(buffer.Length, file.DataStart - at));
        foreach (var tensor in file.Tensors.Values)
        {
            var start = file.DataStart + tensor.Offset;
            if (tensor.SizeBytes <= buffer.Length)
                Append(start, (int)tensor.SizeBytes);
            else
                for (var piece = 0; piece < Pieces; piece++)
                    Append(start + ((tensor.SizeBytes - PieceBytes) * piece / (Pieces - 1)), PieceBytes);
        }
        return Convert.ToHexStringLower(hash.GetHashAndReset());

        void Append(long offset, int length)
        {
            var target = buffer.AsSpan(0, length);
            for (int read; target.Length > 0; target = target[read..], offset += read)
            {
                if ((read = RandomAccess.Read(handle, target, offset)) == 0)
                    throw SafetensorsHeader.Defect(file.Path, $"{length} bytes at {offset}", "the end of the file");
            }
            hash.AppendData(buffer.AsSpan(0, length));
        }
    }
}
