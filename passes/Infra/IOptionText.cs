namespace Halo.Passes.Infra;

/// <summary>A value that a pass takes as an option: <see cref="Parse"/> reads what ToString writes.</summary>
public interface IOptionText<TSelf> where TSelf : IOptionText<TSelf>
{
    /// <exception cref="HaloException">The text is none of the values.</exception>
    static abstract TSelf Parse(string s, IFormatProvider? provider);
}
