using System.Collections.Concurrent;
using Halo.Analysis;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Models.HuggingFace;
using Halo.Models.Llama;
using Halo.Passes.Infra;
using Halo.Passes.Rewrite;
using Halo.Passes.Training;
using Halo.Runner.Sessions;
using Halo.Runner.Sources;
using Halo.Serialization;
using Halo.Tests.Numerics;

namespace Halo.Tests.Passes;

/// <summary>Every level on training graphs of every origin: built from config.json, rederived, made of each forward export.</summary>
public class RewriteOfBuiltGraphsTests
{
    private const string Built = "built", Rederived = "rederived", Raw = "raw ";

    /// <summary>Each graph and its loss and gradients, made for the first of its levels.</summary>
    private static readonly ConcurrentDictionary<(string Name, string Origin), (Model Model, Dictionary<string, float[]> Step)> Unrotated = new();

    public static TheoryData<string, string, string> Graphs
    {
        get
        {
            var data = new TheoryData<string, string, string>();
            foreach (var level in new[] { "halo-0", "halo-1", "halo-2" })
            {
                foreach (var name in ExportFixture.Names)
                {
                    data.Add(name, Built, level);
                    data.Add(name, Rederived, level);
                }
                foreach (var name in new[] { "llama2-mha", "llama32-tied" })
                {
                    foreach (var file in ForwardExports.Files)
                        data.Add(name, file, level);
                    data.Add(name, Raw + "logits-dynamo-opset18.onnx", level);
                    data.Add(name, Raw + "logits-dynamo-sdpa-opset23.onnx", level);
                }
            }
            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Graphs))]
    public void Rotations_keep_every_gradient_and_each_tensor_is_quantized_once(string name, string origin, string level)
    {
        var (unrotated, expected) = Unrotated.GetOrAdd((name, origin), _ => Make(name, origin) is var made ? (made, ForwardExports.Step(name, made)) : default);
        var model = unrotated.Clone();
        Rewrite(model, level, "none");
        var found = ForwardExports.Step(name, model);
        Assert.Equal(expected.Keys, found.Keys);
        Assert.All(expected, e => Assert.True(RelativeError.Of(found[e.Key], e.Value) <= Tolerances.OtherOperators,
            $"{e.Key}: {RelativeError.Of(found[e.Key], e.Value):E2}"));

        Rewrite(model, "none", "fp8");
        var blocks = name == "llama3-gqa" ? 3 : 2;
        var rewritten = LinearGemms.In(model.Graph).Layers.Where(l => !l.IsHead).ToList();
        Assert.Equal(7 * blocks, rewritten.Count);
        Assert.All(rewritten, l => Assert.Equal([GemmRole.F, GemmRole.E, GemmRole.G], l.Gemms.Select(g => g.Role)));
        Assert.All(rewritten.SelectMany(l => l.Gemms), g => Assert.Equal(("ScaledMatMul", "e4m3", "e4m3"), (g.Node.OpType, g.A.Format, g.B.Format)));
        Assert.Equal((level == "halo-2" ? 25 : 18) * blocks, model.Graph.Nodes.Count(n => n.Is("Quantize", HaloDomain.Name)));
        Assert.True(float.IsFinite(ForwardExports.Step(name, model)["loss"][0]));
    }

    private static Model Make(string name, string origin)
    {
        var settings = new GradientSettings(ForwardExports.Rows, ForwardExports.Tokens, Raw: origin.StartsWith(Raw, StringComparison.Ordinal));
        return origin switch
        {
            Built => SourceGraph.Built(LlamaGraph.Build(DecoderConfig.Load(ExportFixture.Folder(name)), 3, 24), Pipelines.Differentiate(), "").Model,
            Rederived => SourceGraph.Built(
                OnnxReader.Read(ExportFixture.File(name, "training.onnx"), HaloOperators.Catalogue),
                Pipelines.Parse($"{Pipelines.Cleanup},{Pipelines.Rederive}"), "").Model,
            _ => ForwardExports.Gradient(name, settings.Raw ? origin[Raw.Length..] : origin, settings),
        };
    }

    private static void Rewrite(Model model, string level, string format) => PassManager.Run(
        model, Pipelines.Rewrite(HaloScheme.Parse(level), GemmFormats.Parse(format)), new PassOptions { Evaluator = new OnnxEvaluator() });
}
