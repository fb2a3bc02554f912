using Halo.Models.HuggingFace;

namespace Halo.Tests.Models.Llama;

/// <summary>The loss of a LLaMA in float64, one token after the other, as the papers and Transformers' config have it. Slow and plain.</summary>
/// <param name="config">Sizes; no tied embedding.</param>
/// <param name="weights">By checkpoint name, row-major.</param>
public sealed class PlainLlama(DecoderConfig config, IReadOnlyDictionary<string, double[]> weights)
{
    /// <summary>The mean over all labels but -100, of all rows.</summary>
    /// <param name="rows">Of tokens: id, mask, label, position, document.</param>
    public double Loss(IEnumerable<IReadOnlyList<(long Id, long Mask, long Label, long Position, long Document)>> rows)
    {
        var losses = new List<double>();
        foreach (var row in rows)
        {
            var logits = Logits(row);
            for (var t = 0; t + 1 < row.Count; t++)
            {
                if (row[t + 1].Label != -100)
                    losses.Add(Math.Log(logits[t].Sum(Math.Exp)) - logits[t][row[t + 1].Label]);
            }
        }
        return losses.Average();
    }

    private double[][] Logits(IReadOnlyList<(long Id, long Mask, long Label, long Position, long Document)> row)
    {
        var hidden = config.HiddenSize;
        var x = row.Select(t => weights["model.embed_tokens.weight"].AsSpan((int)t.Id * hidden, hidden).ToArray()).ToArray();
        for (var n = 0; n < config.Layers; n++)
        {
            var layer = $"model.layers.{n}";
            var normed = Array.ConvertAll(x, v => Norm($"{layer}.input_layernorm", v));
            var attended = Attention($"{layer}.self_attn", normed, row);
            x = [.. x.Zip(attended, Sum)];
            x = Array.ConvertAll(x, v => Sum(v, Mlp($"{layer}.mlp", Norm($"{layer}.post_attention_layernorm", v))));
        }
        return Array.ConvertAll(x, v => Linear("lm_head", Norm("model.norm", v)));
    }

    private double[][] Attention(string module, double[][] x, IReadOnlyList<(long Id, long Mask, long Label, long Position, long Document)> row)
    {
        var d = config.HeadDim;
        var queries = x.Select((v, t) => Heads("q_proj", v, row[t].Position)).ToArray();
        var keys = x.Select((v, t) => Heads("k_proj", v, row[t].Position)).ToArray();
        var values = x.Select(v => Heads("v_proj", v, 0)).ToArray();
        return [.. Enumerable.Range(0, x.Length).Select(t => Linear($"{module}.o_proj", [.. Enumerable.Range(0, config.Heads).SelectMany(h => Head(t, h))]))];

        double[][] Heads(string name, double[] v, long position) =>
            [.. Linear($"{module}.{name}", v).Chunk(d).Select(head => name == "v_proj" ? head : Rotated(head, position))];

        double[] Head(int t, int head)
        {
            var kv = head / (config.Heads / config.KeyValueHeads);
            var visible = Enumerable.Range(0, t + 1).Where(s => row[s].Mask != 0 && row[s].Document == row[t].Document).ToList();
            var scores = visible.Select(s => Math.Exp(queries[t][head].Zip(keys[s][kv], (a, b) => a * b).Sum() / Math.Sqrt(d))).ToList();
            return [.. Enumerable.Range(0, d).Select(i => visible.Zip(scores, (s, p) => p * values[s][kv][i]).Sum() / scores.Sum())];
        }
    }

    private double[] Rotated(double[] head, long position)
    {
        var half = head.Length / 2;
        return [.. Enumerable.Range(0, head.Length).Select(i =>
        {
            var angle = position / (config.RopeScaling?.Factor ?? 1) * Math.Pow(config.RopeTheta, -2.0 * (i % half) / head.Length);
            return (head[i] * Math.Cos(angle)) + ((i < half ? -head[i + half] : head[i - half]) * Math.Sin(angle));
        })];
    }

    private double[] Mlp(string module, double[] x)
    {
        var gated = Linear($"{module}.gate_proj", x).Zip(Linear($"{module}.up_proj", x), (g, u) => g / (1 + Math.Exp(-g)) * u);
        return Linear($"{module}.down_proj", [.. gated]);
    }

    private double[] Norm(string module, double[] x)
    {
        var rms = Math.Sqrt((x.Sum(v => v * v) / x.Length) + config.RmsNormEpsilon);
        return [.. x.Zip(weights[$"{module}.weight"], (v, w) => v / rms * w)];
    }

    private double[] Linear(string module, double[] x)
    {
        var y = weights[$"{module}.weight"].Chunk(x.Length).Select(row => row.Zip(x, (w, v) => w * v).Sum()).ToArray();
        return weights.TryGetValue($"{module}.bias", out var bias) ? Sum(y, bias) : y;
    }

    private static double[] Sum(double[] a, double[] b) => [.. a.Zip(b, (x, y) => x + y)];
}
