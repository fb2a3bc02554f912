namespace Halo.Tests.Packing;

/// <summary>
/// Normal draws as <c>torch.Tensor.normal_</c> makes them on a CPU from <c>torch.manual_seed</c>, rounded to float32 where PyTorch rounds; its logarithm, cosine
/// and sine are within a unit of the last place, and those here half a unit.
/// </summary>
/// <remarks>
/// A Mersenne twister [Matsumoto and Nishimura 1998]; its low 24 bits over 2^24 are a uniform u. Groups of 16 of them are eight pairs (u[k], u[k + 8]), and a
/// pair is two draws [Box and Muller 1958]. What is left over below 16 is drawn otherwise, and not here.
/// </remarks>
internal sealed class TorchDraws(uint seed)
{
    private const int Size = 624, Shift = 397;

    private readonly List<float> _uniforms = [];
    private readonly uint[] _state = Start(seed);

    /// <summary>Draws with mean 0.</summary>
    /// <param name="offset">Uniforms taken before the first.</param>
    /// <param name="count">A multiple of 16.</param>
    /// <param name="deviation">The standard deviation.</param>
    public float[] Normal(int offset, int count, float deviation)
    {
        while (_uniforms.Count < offset + count)
            Advance();
        var draws = new float[count];
        for (var at = 0; at < count; at++)
        {
            var first = at % 16 < 8 ? at : at - 8;
            var radius = MathF.Sqrt(-2 * (float)Math.Log(1 - _uniforms[offset + first]));
            double angle = (float)(2 * Math.PI) * _uniforms[offset + first + 8];
            draws[at] = radius * (float)(first == at ? Math.Cos(angle) : Math.Sin(angle)) * deviation;
        }
        return draws;
    }

    private static uint[] Start(uint seed)
    {
        var state = new uint[Size];
        state[0] = seed;
        for (var i = 1u; i < Size; i++)
            state[i] = 1812433253 * (state[i - 1] ^ (state[i - 1] >> 30)) + i;
        return state;
    }

    private void Advance()
    {
        for (var i = 0; i < Size; i++)
        {
            var y = (_state[i] & 0x80000000) | (_state[(i + 1) % Size] & 0x7fffffff);
            _state[i] = _state[(i + Shift) % Size] ^ (y >> 1) ^ ((y & 1) * 0x9908b0df);
        }
        foreach (var word in _state)
        {
            var y = word ^ (word >> 11);
            y ^= (y << 7) & 0x9d2c5680;
            y ^= (y << 15) & 0xefc60000;
            y ^= y >> 18;
            _uniforms.Add((y & 0xffffff) / 16777216f);
        }
    }
}
