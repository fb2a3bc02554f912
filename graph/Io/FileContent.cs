namespace Halo.Io;

/// <summary>Tells by its first bytes that a file is of another kind than the one that was asked for, and what to do about it.</summary>
internal static class FileContent
{
    private const string Unpack = "Unpack it and name what is in it.";
    private const string Safetensors = "Convert it to safetensors, or fetch the model's safetensors.";

    private static readonly (byte[] Start, string Found, string Advice)[] Kinds =
    [
        ("version https://git-lfs"u8.ToArray(), "a Git LFS pointer, which stands for the file", "Fetch the file itself with 'git lfs pull'."),
        ([0x1F, 0x8B], "a gzip archive", Unpack),
        ([0x28, 0xB5, 0x2F, 0xFD], "a Zstandard archive", Unpack),
        ("BZh"u8.ToArray(), "a bzip2 archive", Unpack),
        ([0xFD, (byte)'7', (byte)'z', (byte)'X', (byte)'Z'], "an xz archive", Unpack),
        ("PAR1"u8.ToArray(), "a Parquet file", "Write its rows as JSONL: one JSON object a line."),
        ("ARROW1"u8.ToArray(), "an Arrow file", "Write its rows as JSONL: one JSON object a line."),
        ("PK\x03\x04"u8.ToArray(), "a zip archive, as PyTorch writes checkpoints", Safetensors),
        ([0x80, 0x02], "a Python pickle, as PyTorch writes checkpoints", Safetensors),
        ([0x80, 0x04], "a Python pickle", Safetensors),
        ("GGUF"u8.ToArray(), "a GGUF file", "Fetch the model's safetensors: Halo reads no GGUF."),
        ([0x89, (byte)'H', (byte)'D', (byte)'F'], "an HDF5 file", Safetensors),
        ([0xFF, 0xFE], "text in UTF-16", "Save it as UTF-8."),
        ([0xFE, 0xFF], "text in UTF-16", "Save it as UTF-8."),
        ("<!DOCTYPE"u8.ToArray(), "a web page", "Fetch the file itself, not the page that shows it."),
        ("<!doctype"u8.ToArray(), "a web page", "Fetch the file itself, not the page that shows it."),
        ("<html"u8.ToArray(), "a web page", "Fetch the file itself, not the page that shows it."),
    ];

    /// <summary>What the bytes are, if they are one of the kinds that are often taken for another.</summary>
    /// <returns>Null for anything else.</returns>
    public static (string Found, string Advice)? Other(ReadOnlySpan<byte> start)
    {
        foreach (var (bytes, found, advice) in Kinds)
            if (start.StartsWith(bytes)) return (found, advice);
        return null;
    }

    /// <summary>As above, of a file; null where it cannot be read.</summary>
    public static (string Found, string Advice)? Other(string path) => Other(Start(path));

    /// <summary>Whether a file begins as JSON does, or as safetensors do: eight bytes of a length, then JSON.</summary>
    public static bool IsJson(string path) => Start(path) is [(byte)'{' or (byte)'[', ..] or [_, _, _, _, _, 0, 0, 0, (byte)'{', ..];

    private static byte[] Start(string path)
    {
        try
        {
            FilePlace.RequireRegular(path);
            using var stream = File.OpenRead(path);
            var start = new byte[32];
            return start[..stream.ReadAtLeast(start, start.Length, throwOnEndOfStream: false)];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException) { return []; }
    }
}
