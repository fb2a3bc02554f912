using Halo.Passes.Infra;
using Halo.Passes.Rewrite;
using Halo.Passes.Training;
using Halo.Runner.Sessions;
using Halo.Runner.Training;

namespace Halo.Runner.Plans;

/// <summary>From scheme, format and rules per layer to passes.</summary>
internal static class RewritePasses
{
    /// <summary>The passes that a config calls for.</summary>
    /// <exception cref="HaloException">A text that is no scheme, format or pipeline.</exception>
    public static IReadOnlyList<IGraphPass> Of(TrainConfig config)
    {
        if (config.Pipeline is { } text)
            return Pipelines.Parse(text);
        var (scheme, format) = (HaloScheme.Parse(config.Scheme), GemmFormats.Parse(config.Format));
        return Pipelines.Rewrite(scheme, format,
            new LayerRules<HaloScheme>([.. config.Quantize.Select(r => (r.Match, r.Scheme is { } s ? HaloScheme.Parse(s) : scheme))]),
            new LayerRules<GemmFormats>([.. config.Quantize.Select(r => (r.Match, r.Format is { } f ? GemmFormats.Parse(f) : format))]), config.Rederive,
            forGpu: config.Device == GraphDevice.Cuda,
            rows: config.AdapterKind == AdapterKind.Efqat ? config.AdapterRows : null);
    }
}
