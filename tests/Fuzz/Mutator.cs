namespace Halo.Tests.Fuzz;

/// <summary>Changes files as accidents and ill will do: bits, bytes, pieces lost, doubled, swapped or repeated, numbers at their limits, words of the format.</summary>
/// <param name="random">Draws the changes; the same seed gives the same ones.</param>
/// <param name="words">Of the format.</param>
internal sealed class Mutator(Random random, IReadOnlyList<byte[]> words)
{
    private static readonly string[] Numbers =
    [
        "0", "-1", "1", "2147483647", "2147483648", "-2147483649", "4294967296", "9223372036854775807", "-9223372036854775808", "18446744073709551616", "1e999", "0.5",
        "1e-400", "null", "true", "[]", "{}", "\"\"",
    ];

    /// <summary>Several changes, mostly few.</summary>
    internal byte[] Change(byte[] file, byte[] other)
    {
        for (var left = 1 + random.Next(random.Next(1, 8)); left > 0; left--) file = One(file, other);
        return file;
    }

    private byte[] One(byte[] file, byte[] other)
    {
        if (file.Length == 0) return Word();
        var (at, length) = (random.Next(file.Length), random.Next(1, 1 + Math.Min(file.Length, 1 << random.Next(1, 10))));
        var end = Math.Min(file.Length, at + length);
        switch (random.Next(10))
        {
            case 0: return With(file, at, (byte)(file[at] ^ (1 << random.Next(8))));
            case 1: return With(file, at, (byte)random.Next(256));
            case 2: return [.. file[..at], .. file[end..]];
            case 3: return [.. file[..end], .. file[at..]];
            case 4: return [.. file[..at], .. Word(), .. file[at..]];
            case 5: return [.. file[..at], .. Word(), .. file[end..]];
            case 6: return [.. file[..at], .. other.Length == 0 ? [] : other[random.Next(other.Length)..], .. file[end..]];
            case 7: return Repeated(file, at, Math.Min(end, at + 16));
            case 8: return file[..at];
            default: return Number(file, at);
        }
    }

    private byte[] Repeated(byte[] file, int at, int end)
    {
        var piece = random.Next(2) == 0 ? Word() : file[at..end];
        return [.. file[..at], .. Enumerable.Repeat(piece, 1 << random.Next(1, 13)).SelectMany(p => p), .. file[at..]];
    }

    /// <summary>Puts another value in the place of the number behind a place.</summary>
    private byte[] Number(byte[] file, int at)
    {
        var start = file.AsSpan(at).IndexOfAnyInRange((byte)'0', (byte)'9') + at;
        if (start < at) return file;
        var end = start;
        while (end < file.Length && file[end] is (>= (byte)'0' and <= (byte)'9') or (byte)'.') end++;
        return [.. file[..start], .. System.Text.Encoding.ASCII.GetBytes(Numbers[random.Next(Numbers.Length)]), .. file[end..]];
    }

    private byte[] Word() => words[random.Next(words.Count)];

    private static byte[] With(byte[] file, int at, byte value)
    {
        file = [.. file];
        file[at] = value;
        return file;
    }
}
