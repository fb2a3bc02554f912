using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;
using Halo.CustomOps;
using Halo.Passes.Infra;
using Halo.Serialization;
using Halo.Tests.Numerics;
using Halo.Text;

namespace Halo.Tests.Runner;

/// <summary>rewrite, inspect, diff and doctor.</summary>
public sealed class GraphVerbTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly string _training = ExportFixture.File("llama2-mha", "training.onnx");

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_verified_rewrite_writes_the_graph_its_ledger_and_a_report_the_same_every_time()
    {
        string[] Arguments(string name) =>
            ["rewrite", _training, "-o", _folder[$"{name}.onnx"], "--scheme", "halo-2", "--format", "fp8", "--verify", "--report", _folder[$"{name}.json"]];
        var line = HaloConsole.Succeed(Arguments("a"));
        Assert.Equal("14 linear layers with 42 products, 42 of them in 8 bits; 78 rotations, 50 quantizations; "
            + "1 head and 12 other products in full precision\n", line);
        HaloProcess.Succeed(Arguments("b")); // in a process of its own, whose hash codes are others
        Assert.Equal(File.ReadAllBytes(_folder["a.onnx"]), File.ReadAllBytes(_folder["b.onnx"]));
        Assert.Equal(File.ReadAllBytes(_folder["a.json"]), File.ReadAllBytes(_folder["b.json"]));

        using var report = JsonDocument.Parse(File.ReadAllText(_folder["a.json"]));
        var linears = report.RootElement.GetProperty("linears").EnumerateArray().Where(l => !l.GetProperty("head").GetBoolean()).ToList();
        Assert.Equal(14, linears.Count);
        var down = linears.Single(l => l.GetProperty("layer").GetString() == "model.layers.1.mlp.down_proj");
        Assert.Equal("N", down.GetProperty("rotations").GetProperty("G").GetString());
        Assert.Equal("M+N", down.GetProperty("rotations").GetProperty("E").GetString());
        Assert.Equal("e4m3,e4m3", down.GetProperty("formats").GetProperty("F").GetString());
        Assert.Equal(13, report.RootElement.GetProperty("skipped").GetArrayLength());

        var passes = Assert.Single(Ledger.Of(OnnxReader.Read(_folder["a.onnx"], HaloOperators.Catalogue)).Rewrites).Passes;
        Assert.Equal(passes.Select(p => p.Pass), report.RootElement.GetProperty("passes").EnumerateArray().Select(p => p.GetProperty("pass").GetString()));
        Assert.All(passes, p => Assert.NotNull(p.Measured));
        Assert.All(passes.Where(p => p.Effect == "exact"), p => Assert.Equal(p.Measured!.Outputs, p.Measured.Identical));
        Assert.InRange(passes.Single(p => p.Pass == "rotate-operands").Measured!.WorstRelativeError, 1e-9, Tolerances.OtherOperators);
        Assert.InRange(passes.Single(p => p.Pass == "quantize-operands").Measured!.WorstRelativeError, 1e-3, 0.7);
        var shown = HaloConsole.Succeed("inspect", _folder["a.onnx"]);
        Assert.Matches(@"rotate-operands\{scheme=halo-2.*relative error [0-9.]+e-\d+, limit 1\.0e-5: within limits", shown);
        Assert.Matches(@"quantize-operands\{format=fp8.* [0-9.]+ dB of signal to rounding, limit 3 dB: within limits", shown);
        Assert.Contains("fold-constants{max-bytes=1048576}: ", shown, StringComparison.Ordinal);
        Assert.Contains("outputs keep their bits: within limits", shown, StringComparison.Ordinal);
    }

    [Fact]
    public void Inspect_shows_layers_and_ledger_and_text_reads_back()
    {
        HaloConsole.Succeed("rewrite", _training, "-o", _folder["a.onnx"], "--scheme", "halo-1", "--format", "int8");
        var shown = HaloConsole.Succeed("inspect", _folder["a.onnx"]);
        Assert.Contains("42 products, 42 of them in 8 bits", shown, StringComparison.Ordinal);
        Assert.Contains("int8 H(K)", shown, StringComparison.Ordinal);
        Assert.Contains("lm_head (head)", shown, StringComparison.Ordinal);
        Assert.Contains("quantize-operands{format=int8}", shown, StringComparison.Ordinal);
        var text = HaloConsole.Succeed("inspect", _training, "--text");
        Assert.Contains("node_mm_3", text, StringComparison.Ordinal);
        var (read, parsed) = (OnnxReader.Read(_training, HaloOperators.Catalogue), GraphParser.Parse(WithContent(text), HaloOperators.Catalogue));
        Assert.Equal(WithContent(text), GraphPrinter.Print(parsed));
        Assert.Equal(read.Graph.Nodes.Select(n => (n.Name, n.OpType)), parsed.Graph.Nodes.Select(n => (n.Name, n.OpType)));
        Assert.Equal(read.Graph.Outputs.Select(o => $"{o.Name} {o.Type} {o.Shape}"), parsed.Graph.Outputs.Select(o => $"{o.Name} {o.Type} {o.Shape}"));
    }

    [Fact]
    public void Diff_tells_same_from_different_by_exit_code()
    {
        HaloConsole.Succeed("rewrite", _training, "-o", _folder["a.onnx"], "--scheme", "halo-0", "--format", "fp8");
        HaloConsole.Succeed("diff", _training, _training);
        var (exitCode, output, _) = HaloConsole.Run("diff", _training, _folder["a.onnx"]);
        Assert.Equal(1, exitCode);
        Assert.Contains("Quantize", output, StringComparison.Ordinal);
    }

    [Fact]
    public void Doctor_runs_a_product_of_every_format()
    {
        var output = HaloConsole.Succeed("doctor");
        Assert.Contains("ONNX Runtime     1.31.1", output, StringComparison.Ordinal);
        foreach (var format in new[] { "e4m3", "e5m2", "int8", "e3m2" })
        {
            var errors = Regex.Matches(output, $@"^{format} products +work on the CPU by (native kernels|function bodies), relative error ([0-9.E+-]+) on",
                RegexOptions.Multiline)
                .Select(m => double.Parse(m.Groups[2].Value, CultureInfo.InvariantCulture)).ToList();
            Assert.Equal(2, errors.Count);
            Assert.All(errors, error => Assert.InRange(error, 1e-3, Tolerances.ProductsOfCodes));
        }
        Assert.DoesNotContain("fail", output, StringComparison.Ordinal);
    }

    /// <summary>Large constants, of which text holds a hash, become zeros.</summary>
    private static string WithContent(string text) =>
        Regex.Replace(Regex.Replace(text, "( bool.* =?) hash [0-9a-f]{16}", "$1 splat false"), " hash [0-9a-f]{16}", " splat 0");

    [Fact]
    public void A_pass_that_cannot_do_what_it_is_asked_writes_nothing()
    {
        var (exitCode, _, error) = HaloConsole.Run("rewrite", _training, "-o", _folder["a.onnx"], "--pipeline",
            "upgrade-opset,rotate-operands{scheme=halo-2 max-token-block=0}");
        Assert.Equal(2, exitCode);
        Assert.Contains("max-token-block: expected at least 1, found 0", error, StringComparison.Ordinal);
        Assert.False(File.Exists(_folder["a.onnx"]));
    }
}
