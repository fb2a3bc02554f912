using System.Globalization;
using Halo.Models.Weights;
using Halo.Tests.Benchmarks;
using Halo.Tests.Numerics;

namespace Halo.Tests.Packing;

public class PackedFolderTests
{
    private const string Exports = "HALO_EXPORTS", Unpacked = "HALO_UNPACKED";

    /// <summary>Twister and pairs: the first numbers of NumPy's generator of the same seed, and the layout that PyTorch has.</summary>
    [Fact]
    public void Draws_are_those_of_the_twister()
    {
        var draws = new TorchDraws(5489).Normal(0, 1 << 16, 1);
        uint[] words = [3499211612, 581869302, 3890346734, 3586334585, 545404204, 4161255391, 3922919429, 949333985, 2715962298]; // [Matsumoto and Nishimura]
        var radius = Math.Sqrt(-2 * Math.Log(1 - (words[0] & 0xffffff) / 16777216.0));
        var angle = 2 * Math.PI * ((words[8] & 0xffffff) / 16777216.0);
        Assert.Equal(radius * Math.Cos(angle), draws[0], Tolerances.OneOperator);
        Assert.Equal(radius * Math.Sin(angle), draws[8], Tolerances.OneOperator);
        Assert.Equal(0, draws.Average(), 0.02);
        Assert.Equal(1, draws.Average(d => d * d), 0.02);
    }

    [Fact]
    public void What_is_packed_comes_back_whatever_it_is()
    {
        using var folder = new TemporaryFolder();
        Directory.CreateDirectory(folder["in"]);
        Directory.CreateDirectory(folder["out"]);
        var drawn = Array.ConvertAll(new TorchDraws(3).Normal(32, 12 * 16, PackedFolder.Deviation), v => MathF.BitIncrement(v));
        float[] others = [0, -0f, float.NaN, float.NegativeInfinity, float.Epsilon, 1, -1, 3.4e38f];
        SafetensorsWriter.Write(folder["in/model.safetensors"],
        [
            new("drawn", Halo.Ir.ElementType.Float, [12, 16], Bytes(drawn)), new("norm", Halo.Ir.ElementType.Float, [8], Bytes(others)),
            new("ids", Halo.Ir.ElementType.Int64, [2], new byte[16]),
        ]);
        var noise = new byte[999];
        new Random(1).NextBytes(noise);
        Piece[] pieces = [Piece.Same, Piece.SameTransposed, Piece.SameRounded, Piece.SameRoundedTransposed];
        File.WriteAllBytes(folder["in/graph.onnx"], [.. noise, .. pieces.SelectMany(p => PackedFolder.Changed(p, drawn, 12, 16).Concat(noise[..7]))]);
        File.WriteAllBytes(folder["in/empty"], []);
        PackedFolderWriter.Pack(folder["in"], folder["packed"], 3, new Dictionary<string, int> { ["drawn"] = 32 });
        Assert.True(new FileInfo(folder["packed"]).Length < 999 + 600, "what repeats takes no place");

        PackedFolder.Unpack(folder["packed"], folder["out"]);
        foreach (var file in new[] { "model.safetensors", "graph.onnx", "empty" })
            Assert.Equal(File.ReadAllBytes(folder[$"in/{file}"]), File.ReadAllBytes(folder[$"out/{file}"]));
    }

    /// <summary>Unpacks each checkpoint with what is expected of it, for machines without .NET (runner/Benchmarks/family_gradients.py).</summary>
    [WhenFolderIsGiven(Unpacked)]
    public void Unpack()
    {
        var given = Environment.GetEnvironmentVariable(Unpacked)!;
        foreach (var folder in FamilyFixture.Names.Select(FamilyFixture.Folder).Concat(ExportFixture.Names.Select(ExportFixture.Folder)))
        {
            var target = Directory.CreateDirectory(Path.Combine(given, Path.GetFileName(folder))).FullName;
            foreach (var file in new[] { "config.json", "model.safetensors", "expected.safetensors" })
                File.Copy(Path.Combine(folder, file), Path.Combine(target, file), overwrite: true);
        }
    }

    /// <summary>Packs the exports anew that have a folder of the same name; families without the bulk of what is expected of them.</summary>
    [WhenFolderIsGiven(Exports)]
    public void Write()
    {
        var given = Environment.GetEnvironmentVariable(Exports)!;
        foreach (var (name, seed, start) in Given([("llama2-mha", 10u, 115200), ("llama32-tied", 12u, 294912), ("llama3-gqa", 10u, 704512)]))
            Pack("exports", name, Path.Combine(given, name), seed, start);
        foreach (var (name, seed, start) in Given(
                 [
                     ("llama-yarn", 31u, 117248), ("mistral-window", 35u, 131072), ("phi3-fused", 31u, 112640), ("qwen2-bias-gqa", 35u, 258368),
                     ("qwen3-qknorm", 33u, 135168), ("olmo2-postnorm", 41u, 0), ("smollm3-nope", 42u, 0), ("phi3-partial", 43u, 0), ("qwen3-window", 44u, 0),
                     ("phi3-longrope", 45u, 0), ("llama-dynamic", 46u, 0),
                 ]))
        {
            using var reduced = new TemporaryFolder();
            var left = name is "mistral-window" or "phi3-fused" or "phi3-partial" ? "" : "logits-torchscript-opset17.onnx"; // for room
            string[] absent = [left, "generation_config.json"];
            foreach (var file in Directory.GetFiles(Path.Combine(given, name)).Where(f => !absent.Contains(Path.GetFileName(f))))
                File.Copy(file, reduced[Path.GetFileName(file)]);
            Sketch.Reduce(reduced["expected.safetensors"]);
            if (name == "phi3-fused") // its default is no token of a small vocabulary
                File.WriteAllText(reduced["config.json"], File.ReadAllText(reduced["config.json"]).Replace("_token_id\": 32000", "_token_id\": null"));
            Pack("families", name, reduced.Path, seed, start);
        }

        IEnumerable<(string Name, uint Seed, int Start)> Given((string Name, uint Seed, int Start)[] all) =>
            all.Where(folder => Directory.Exists(Path.Combine(given, folder.Name)));
    }

    private static void Pack(string kind, string name, string folder, uint seed, int start) => PackedFolderWriter.Pack(folder,
        Path.Combine(RepositoryRoot.Path, "tests", "Fixtures", kind, $"{name}.packed"), seed, Offsets(folder, start));

    /// <summary>Transformers draws the embedding, then layer after layer, then the embedding again, then the head.</summary>
    private static Dictionary<string, int> Offsets(string folder, int start)
    {
        string[] order =
        [
            "embed_tokens", ".q_proj", ".k_proj", ".v_proj", ".o_proj", ".qkv_proj", ".gate_proj", ".gate_up_proj", ".up_proj", ".down_proj", "lm_head",
        ];
        using var file = SafetensorsFile.Open(Path.Combine(folder, "model.safetensors"));
        var offsets = new Dictionary<string, int>();
        foreach (var (name, tensor) in file.Tensors.Where(t => t.Value.Shape.Count == 2).OrderBy(t => Place(t.Key)))
        {
            var count = (int)(tensor.Shape[0] * tensor.Shape[1]);
            offsets[name] = start + (name == "lm_head.weight" ? count : 0);
            start += count;
        }
        return offsets;

        (int, int) Place(string name)
        {
            var kind = Array.FindIndex(order, name.Contains);
            return kind == 0 || kind == order.Length - 1 ? (kind * 1000, 0) : (1 + int.Parse(name.Split('.')[2], CultureInfo.InvariantCulture), kind);
        }
    }

    private static byte[] Bytes(float[] values) => System.Runtime.InteropServices.MemoryMarshal.AsBytes<float>(values).ToArray();
}
