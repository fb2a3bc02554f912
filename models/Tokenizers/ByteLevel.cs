using System.Text;

namespace Halo.Models.Tokenizers;

/// <summary>The one printable character per byte that byte-level vocabularies are written in. [GPT-2, encoder.py, bytes_to_unicode]</summary>
internal static class ByteLevel
{
    private static readonly char[] CharOfByte = BuildChars();
    private static readonly Dictionary<char, byte> ByteOfChar = Enumerable.Range(0, 256).ToDictionary(b => CharOfByte[b], b => (byte)b);

    internal static IEnumerable<char> Alphabet => CharOfByte;

    internal static char Char(byte value) => CharOfByte[value];

    /// <summary>The bytes a token stands for; a token with a character that is no byte's stands for its own UTF-8, as added tokens may.</summary>
    internal static byte[] Bytes(string token) =>
        token.All(ByteOfChar.ContainsKey) ? [.. token.Select(c => ByteOfChar[c])] : Encoding.UTF8.GetBytes(token);

    private static char[] BuildChars()
    {
        // Printable Latin-1 stands for itself; the other 68 bytes take the characters from U+0100 on.
        var next = 0x100;
        return [.. Enumerable.Range(0, 256).Select(b => b is >= '!' and <= '~' or >= 0xA1 and <= 0xAC or >= 0xAE ? (char)b : (char)next++)];
    }
}
