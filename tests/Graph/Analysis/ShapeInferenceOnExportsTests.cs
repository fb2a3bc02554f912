using Halo.Analysis;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Serialization;

namespace Halo.Tests.Analysis;

/// <summary>Every shape PyTorch recorded in value_info is found again from the graph inputs alone.</summary>
public class ShapeInferenceOnExportsTests
{
    [Theory]
    [MemberData(nameof(ExportFixture.All), MemberType = typeof(ExportFixture))]
    public void Recorded_shapes_are_derived_again(string name)
    {
        foreach (var file in Directory.GetFiles(ExportFixture.Folder(name), "*.onnx").Order())
            Check(file);
    }

    private static void Check(string file)
    {
        var graph = OnnxReader.Read(file, HaloOperators.Catalogue).Graph;
        var recorded = graph.Values.Values.Where(v => v.Producer is not null).Select(v => (Value: v, v.Type, v.Shape)).ToList();
        foreach (var (value, _, _) in recorded)
            (value.Type, value.Shape) = (ElementType.Undefined, null);

        ShapeInference.Run(graph);

        var differences = recorded
            .Where(r => r.Type != ElementType.Undefined && (r.Value.Type != r.Type || !Covers(r.Shape, r.Value.Shape)))
            .Select(r => $"{r.Value.Producer}: recorded {r.Type.Name()}{r.Shape}, inferred {r.Value.Type.Name()}{r.Value.Shape}")
            .ToList();
        Assert.True(differences.Count == 0, $"{Path.GetFileName(file)}: {differences.Count} of {recorded.Count}:\n{string.Join("\n", differences.Take(30))}");
    }

    /// <summary>
    /// What the exporter knew is known. Where it recorded nothing, or torchscript a name made from the node's (MatMullogits_dim_0), anything will do.
    /// </summary>
    private static bool Covers(Shape? recorded, Shape? inferred) => recorded is null
        || (inferred?.Rank == recorded.Rank && recorded.Zip(inferred)
            .All(d => d.First == Dim.Unknown || d.First.Symbol?.Contains("_dim_", StringComparison.Ordinal) == true || Factors(d.First) == Factors(d.Second)));

    /// <summary>The exporter writes sequence*batch where inference sorts the factors.</summary>
    private static string Factors(Dim dim) => string.Join('*', dim.ToString().Split('*').Order(StringComparer.Ordinal));
}
