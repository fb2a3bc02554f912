using System.Runtime.InteropServices;
using Halo.Models.Adapters;
using Halo.Runner.Data;
using Halo.Runner.Export;
using Halo.Tests.Models.Adapters;
using Halo.Tests.Numerics;
using Microsoft.ML.OnnxRuntime;
using static Halo.Tests.Runner.HaloConsole;

namespace Halo.Tests.Runner;

/// <summary><c>halo export --beside</c>: adapters that ONNX Runtime itself loads, runs and switches, beside those that are merged.</summary>
public sealed class AdapterBesideTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public AdapterBesideTests() => TinyChat.Write(_folder);

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("fp32")]
    [InlineData("int4")]
    public void Adapters_of_any_rank_are_switched_when_the_graph_runs(string weights)
    {
        AdapterConfig[] configs =
        [
            new() { Rank = 3, Alpha = 6, TargetPattern = AdapterConfig.AllLinear },
            new() { Rank = 5, Alpha = 1, RankStabilized = true, Targets = ["q_proj", "down_proj"] },
        ];
        string[] bounds = weights == "fp32" ? ["--prompts", "2"] : ["--prompts", "2", "--min-agreement", "0", "--max-kl", "100"];
        for (var i = 0; i < configs.Length; i++)
        {
            DrawnAdapter.Write(_folder[$"adapter{i}"], configs[i], _folder["model"]);
            string[] export = ["export", _folder["model"], "--adapter", _folder[$"adapter{i}"], "--weights", weights, .. bounds];
            Succeed([.. export, "--beside", "-o", _folder[$"beside{i}"]]); // holds its logits, adapter on, to those of the merged graph
            if (weights == "fp32")
                Succeed([.. export, "--merge", "-o", _folder[$"merged{i}"]]);
        }
        Succeed(["export", _folder["model"], "--weights", weights, "-o", _folder["base"], .. bounds]);

        using var session = new InferenceSession(_folder["beside0/model.onnx"]);
        var base0 = Logits(_folder["base/model.onnx"]);
        Assert.Equal(base0, Logits(session));
        for (var i = 0; i < configs.Length; i++)
        {
            using var adapter = OrtLoraAdapter.Create(Path.Combine(_folder[$"beside{i}"], AdapterBeside.FileName), null);
            var adapted = Logits(session, adapter);
            Assert.True(RelativeError.Of(adapted, base0) > 0.01);
            if (weights == "fp32")
                Assert.True(RelativeError.Of(adapted, Logits(_folder[$"merged{i}/model.onnx"])) <= Tolerances.OtherOperators, $"{i}");
            Assert.Equal(base0, Logits(session)); // and switched off again
            if (weights == "fp32")
                Assert.Equal(LossOfEval(_folder[$"adapter{i}"]), Loss(session, adapter), Tolerances.LossesOfTraining);
        }
    }

    [Fact]
    public void What_no_file_beside_a_base_holds_is_refused()
    {
        DrawnAdapter.Write(_folder["dora"], new() { Rank = 2, Alpha = 2, Dora = true, Targets = ["q_proj"] }, _folder["model"]);
        DrawnAdapter.Write(_folder["saved"], new() { Rank = 2, Alpha = 2, Targets = ["q_proj"], SavedModules = ["norm"] }, _folder["model"]);
        string[] export = ["export", _folder["model"], "-o", _folder["none"], "--beside", "--prompts", "0"];
        Refused(_folder, "DoRA", [.. export, "--adapter", _folder["dora"]]);
        Refused(_folder, "'model.norm.weight'", [.. export, "--adapter", _folder["saved"]]);
        Refused(_folder, "found --merge", [.. export, "--merge", "--adapter", _folder["dora"]]);
        Refused(_folder, "found --rotate", [.. export, "--rotate", "--adapter", _folder["dora"]]);
        Refused(_folder, "--adapter with it", export);
    }

    /// <summary>The loss of <c>halo eval --adapter</c>, whose graph computes with the factors as training does.</summary>
    private double LossOfEval(string adapter) => double.Parse(Succeed("eval", "--model", _folder["model"], "--adapter", adapter, "--data", _folder["data.jsonl"],
        "--micro-batch-size", "3", "--sequence-length", "24").Split(' ')[1], System.Globalization.CultureInfo.InvariantCulture);

    /// <summary>The same of what ONNX Runtime gives with an adapter that is switched on.</summary>
    private double Loss(InferenceSession session, OrtLoraAdapter adapter)
    {
        using var source = InferenceSource.Open(_folder["model"]);
        var difference = new LogitsDifference();
        foreach (var row in ChatDataset.Load(_folder["data.jsonl"], source.OpenTokenizer(), new TrainConfig { Model = "" }.RowSettings(), 24).Rows)
        {
            var logits = Logits(session, adapter, Array.ConvertAll(row.Ids, id => (long)id));
            difference.Add(logits, logits, logits.Length / row.Ids.Length, row.Ids, row.LossMask);
        }
        return difference.Loss;
    }

    private static float[] Logits(string path)
    {
        using var session = new InferenceSession(path);
        return Logits(session);
    }

    private static float[] Logits(InferenceSession session, OrtLoraAdapter? adapter = null, long[]? tokens = null)
    {
        long[] ids = tokens ?? [49, 63, 10, 62, 50], mask = [.. ids.Select(_ => 1L)];
        using var run = new RunOptions();
        if (adapter is not null)
            run.AddActiveLoraAdapter(adapter);
        var inputs = new Dictionary<string, OrtValue>
        {
            ["input_ids"] = OrtValue.CreateTensorValueFromMemory(ids, [1, ids.Length]),
            ["attention_mask"] = OrtValue.CreateTensorValueFromMemory(mask, [1, mask.Length]),
        };
        foreach (var (name, cache) in session.InputMetadata.Where(i => i.Key.StartsWith("past", StringComparison.Ordinal)))
            inputs[name] = OrtValue.CreateAllocatedTensorValue(OrtAllocator.DefaultInstance, cache.ElementDataType, [1, cache.Dimensions[1], 0, cache.Dimensions[3]]);
        using var outputs = session.Run(run, inputs, ["logits"]);
        foreach (var value in inputs.Values)
            value.Dispose();
        return MemoryMarshal.Cast<byte, float>(outputs[0].GetTensorMutableRawData()).ToArray();
    }
}
