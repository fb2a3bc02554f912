using Halo.Ir;
using Halo.Runner.Sessions;
using Microsoft.ML.OnnxRuntime;

namespace Halo.Runner.Export;

/// <summary>A graph with the parameters of an adapter bound to it, which stay until this is disposed.</summary>
internal sealed class AdaptedSession : IDisposable
{
    private readonly List<OrtValue> _values = [];

    /// <param name="session">Not owned.</param>
    /// <param name="parameters">Inputs of the graph by name.</param>
    public AdaptedSession(GraphSession session, IEnumerable<(string Name, Tensor Value)> parameters)
    {
        Session = session;
        foreach (var (name, tensor) in parameters)
        {
            _values.Add(OnnxEvaluator.ToOrtValue(tensor));
            session.BindInput(name, _values[^1]);
        }
    }

    public GraphSession Session { get; }

    public void Dispose() => _values.ForEach(value => value.Dispose());
}
