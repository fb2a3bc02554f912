namespace Halo;

/// <summary>A user's mistake or an input that cannot be honoured. The command line ends with exit code 2.</summary>
/// <remarks>The constructor takes the parts of the message, so that no message lacks one (style.md, Errors).</remarks>
public class HaloException : Exception
{
    /// <param name="source">Who complains: a pass, an operator, a verb or a reader, in kebab-case (<c>read-onnx</c>).</param>
    /// <param name="subject">What it is about: a node with its operator type and role, a file, an option.</param>
    /// <param name="expected">What had to hold.</param>
    /// <param name="found">What was there instead.</param>
    /// <param name="advice">What the user can do about it: one sentence that ends with a full stop.</param>
    /// <param name="inner">The cause, if there is one.</param>
    public HaloException(string source, string subject, string expected, string found, string advice, Exception? inner = null)
        : base($"{source}: {subject}: expected {expected}, found {found}. {advice}", inner)
    {
        Source = source;
        Subject = subject;
        Expected = expected;
        Found = found;
        Advice = advice;
    }

    public string Subject { get; }
    public string Expected { get; }
    public string Found { get; }
    public string Advice { get; }
}
