using System.Collections.Concurrent;

namespace Halo.CustomOps;

/// <summary>Matrices A_K of +-1 with A A^T = K I, constructed, not copied from tables.</summary>
/// <remarks>
/// [Paley 1933; Williamson 1944; Hedayat and Wallis 1978]. With chi the quadratic character modulo a prime q and Q_ij = chi(i - j):
///   Paley I, q = 3 mod 4, order q + 1: [[1, 1..1], [-1, Q + I]].
///   Paley II, q = 1 mod 4, order 2(q + 1): in C = [[0, 1..1], [1, Q]], c becomes c [[1, 1], [1, -1]] and 0 becomes [[1, -1], [-1, -1]].
///   Williamson: four symmetric circulants A, B, C, D in [[A, B, C, D], [-B, A, -D, C], [-C, D, A, -B], [-D, -C, B, A]].
/// </remarks>
internal static class HadamardConstructions
{
    private static readonly ConcurrentDictionary<int, sbyte[,]> Cache = new();

    /// <summary>First rows of A, B, C, D; row i of a circulant is its first row shifted right by i.</summary>
    private static readonly Dictionary<int, string[]> WilliamsonRows = new()
    {
        [52] = ["+-+--++++--+-", "+---++++++---", "++-+--++--+-+", "+----+--+----"],
        [100] = ["+-++++----++--++----++++-", "+++-+++---+-++-+---+++-++", "+-++-+++-++----++-+++-++-", "+--++-+-+--------+-+-++--"],
        [156] =
        [
            "+++--+-+-----+--++----++--+-----+-+--++", "++++---+--++----+-+--+-+----++--+---+++",
            "+++--++-+---+-+--+----+--+-+---+-++--++", "+---++-+-+-----+++-++-+++-----+-+-++---",
        ],
        [172] =
        [
            "+---++--++++-+-+++-++--++-+++-+-++++--++---", "++-++++++----+-+--++-++-++--+-+----++++++-+",
            "+++-+-++--+-+-++++-+----+-++++-+-+--++-+-++", "++---++++-+--+--++--------++--+--+-++++---+",
        ],
    };

    /// <summary>A_K; the same instance each time, not to be written to.</summary>
    public static sbyte[,] Signs(int order) => Cache.GetOrAdd(order, static k => k switch
    {
        1 => new sbyte[,] { { 1 } },
        40 => Doubled(Paley1(20)),
        _ when WilliamsonRows.TryGetValue(k, out var rows) => Williamson(rows),
        _ when IsPaley1(k) => Paley1(k),
        _ when IsPaley2(k) => Paley2(k),
        _ => throw new ArgumentOutOfRangeException(nameof(order), k, "no construction"),
    });

    public static bool HasPaley(int order) => IsPaley1(order) || IsPaley2(order);

    private static bool IsPaley1(int order) => order % 4 == 0 && IsPrime(order - 1);

    private static bool IsPaley2(int order) => order % 4 == 0 && (order / 2 - 1) % 4 == 1 && IsPrime(order / 2 - 1);

    private static sbyte[,] Paley1(int order)
    {
        var chi = QuadraticCharacter(order - 1);
        return Fill(order, (i, j) => i == 0 ? 1 : j == 0 ? -1 : i == j ? 1 : chi[Modulo(i - j, order - 1)]);
    }

    private static sbyte[,] Paley2(int order)
    {
        var q = order / 2 - 1;
        var chi = QuadraticCharacter(q);
        return Fill(order, (i, j) =>
        {
            var (row, column) = (i / 2, j / 2);
            if (row == column)
                return i % 2 == 0 && j % 2 == 0 ? 1 : -1;
            var c = row == 0 || column == 0 ? 1 : chi[Modulo(row - column, q)];
            return i % 2 == 1 && j % 2 == 1 ? -c : c;
        });
    }

    private static sbyte[,] Williamson(string[] rows)
    {
        int[,] array = { { 1, 2, 3, 4 }, { -2, 1, -4, 3 }, { -3, 4, 1, -2 }, { -4, -3, 2, 1 } };
        var m = rows[0].Length;
        return Fill(4 * m, (i, j) =>
        {
            var block = array[i / m, j / m];
            var sign = rows[Math.Abs(block) - 1][Modulo(j % m - i % m, m)] == '+' ? 1 : -1;
            return block > 0 ? sign : -sign;
        });
    }

    /// <summary>[[1, 1], [1, -1]] (x) A.</summary>
    private static sbyte[,] Doubled(sbyte[,] half)
    {
        var m = half.GetLength(0);
        return Fill(2 * m, (i, j) => i >= m && j >= m ? -half[i - m, j - m] : half[i % m, j % m]);
    }

    /// <summary>1 for squares modulo the prime q, -1 for the others, 0 for 0.</summary>
    private static int[] QuadraticCharacter(int q)
    {
        var chi = new int[q];
        Array.Fill(chi, -1);
        for (var i = 1; i < q; i++)
            chi[(int)((long)i * i % q)] = 1;
        chi[0] = 0;
        return chi;
    }

    private static sbyte[,] Fill(int order, Func<int, int, int> element)
    {
        var result = new sbyte[order, order];
        for (var i = 0; i < order; i++)
        {
            for (var j = 0; j < order; j++)
                result[i, j] = (sbyte)element(i, j);
        }
        return result;
    }

    private static int Modulo(int value, int m) => (value % m + m) % m;

    private static bool IsPrime(int n)
    {
        for (var d = 2; d * d <= n; d++)
        {
            if (n % d == 0)
                return false;
        }
        return n > 1;
    }
}
