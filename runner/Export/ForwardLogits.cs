using Halo.Analysis;
using Halo.Ir;
using Halo.Passes.Cleanup;
using Halo.Passes.Infra;
using Halo.Runner.Data;
using Halo.Runner.Sessions;
using Halo.Runner.Sources;
using Halo.Runner.Training.Engine;
using Halo.Serialization;

namespace Halo.Runner.Export;

/// <summary>The forward graph itself at its (B, T): what an export is held against.</summary>
internal sealed class ForwardLogits : ILogits, IDisposable
{
    private readonly GraphSession _session;
    private readonly ParameterBuffers _parameters;
    private readonly BatchBuffers _batch;
    private readonly DeviceTensor _logits;
    private readonly BatchLayout _layout;

    /// <exception cref="HaloException">The graph has no head that is found, or weights do not fit it.</exception>
    /// <param name="source">The model.</param>
    /// <param name="settings">Where and how.</param>
    /// <param name="adapted">With the source's adapter, where it has one.</param>
    public ForwardLogits(InferenceSource source, SessionSettings settings, bool adapted = true)
    {
        var model = source.Forward();
        EvaluationGraph.Of(model);
        if (!model.Graph.TryGetValue(TrainingNames.Logits, out var logits) || !logits.IsGraphOutput)
        {
            throw new HaloException("export", source.Path, "a graph whose head is found (the linear layer before the loss)", "none",
                "halo inspect lists the linear layers of the graph.");
        }
        if (model.Graph.TryGetValue(TrainingNames.Loss, out var loss) && loss.IsGraphOutput)
            model.Graph.RemoveOutput(loss);
        PassManager.Run(model, [new RemoveDeadCode()], new PassOptions());
        var tokens = model.Graph.Inputs.First(i => i.Name == TrainingNames.InputIds).Shape!;
        _layout = new BatchLayout((int)tokens[0].Size!.Value, (int)tokens[1].Size!.Value, PadId: 0,
            [.. TrainingInterface.Required.Where(i => model.Graph.TryGetValue(i.Name, out _))]);
        var parameters = model.Graph.Inputs.Where(i => i.Type.IsFloat()).Select(i => (i.Name, i.Shape!)).ToList();
        _parameters = new ParameterBuffers(parameters, settings.Device);
        _parameters.LoadAll(adapted ? source.Tensors : SourceGraph.TensorsOf(source.Weights));
        _session = new GraphSession("forward graph", OnnxWriter.ToBytes(model), settings);
        _batch = new BatchBuffers(_layout.Inputs, _layout.Rows, Sequence, settings.Device);
        _batch.BindTo(_session);
        foreach (var (name, _) in parameters)
            _session.BindInput(name, _parameters[name]);
        _logits = _session.NewTensor(_session.Outputs[TrainingNames.Logits]);
        _session.BindOutput(TrainingNames.Logits, _logits.Value);
        Vocabulary = _session.Outputs[TrainingNames.Logits].Dimensions[^1];
    }

    public int Vocabulary { get; }

    /// <summary>T, the most tokens of a row.</summary>
    public int Sequence => _layout.Sequence;

    public IEnumerable<float[]> Of(IReadOnlyList<int[]> rows)
    {
        foreach (var together in rows.Chunk(_layout.Rows))
        {
            _batch.Fill(MicroBatch.Of([.. together.Select(r => new TokenizedRow(r, new byte[r.Length]))], _layout));
            _session.Run();
            var logits = _logits.ToArray<float>();
            for (var r = 0; r < together.Length; r++)
                yield return logits.AsSpan(r * Sequence * Vocabulary, together[r].Length * Vocabulary).ToArray();
        }
    }

    public void Dispose()
    {
        _session.Dispose();
        _parameters.Dispose();
        _batch.Dispose();
        _logits.Dispose();
    }
}
