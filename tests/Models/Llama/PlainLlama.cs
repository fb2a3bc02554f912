using Halo.Models.HuggingFace;

namespace Halo.Tests.Models.Llama;

/// <summary>The loss of a LLaMA or its kin in float64, one token after the other, as the papers and Transformers' config have it. Slow and plain.</summary>
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
            var attended = Attention(n, Array.ConvertAll(x, v => Before("input_layernorm", v)), row);
            x = [.. x.Zip(attended, (v, a) => Sum(v, Behind("post_attention_layernorm", a)))];
            x = Array.ConvertAll(x, v => Sum(v, Behind("post_feedforward_layernorm", Mlp($"{layer}.mlp", Before("post_attention_layernorm", v)))));

            double[] Before(string norm, double[] v) => config.Family.NormsWhatIsAdded ? v : Norm($"{layer}.{norm}", v);
            double[] Behind(string norm, double[] v) => config.Family.NormsWhatIsAdded ? Norm($"{layer}.{norm}", v) : v;
        }
        return Array.ConvertAll(x, v => Linear("lm_head", Norm("model.norm", v)));
    }

    private double[][] Attention(int layer, double[][] x, IReadOnlyList<(long Id, long Mask, long Label, long Position, long Document)> row)
    {
        var (d, module, norms) = (config.HeadDim, $"model.layers.{layer}.self_attn", config.Family.QueryKeyNorms);
        var window = config.Windows.Count == 0 ? row.Count : config.Windows[layer];
        var queries = x.Select((v, t) => Heads("q_proj", v, row[t].Position)).ToArray();
        var keys = x.Select((v, t) => Heads("k_proj", v, row[t].Position)).ToArray();
        var values = x.Select(v => Heads("v_proj", v, 0)).ToArray();
        return [.. Enumerable.Range(0, x.Length).Select(t => Linear($"{module}.o_proj", [.. Enumerable.Range(0, config.Heads).SelectMany(h => Head(t, h))]))];

        double[][] Heads(string name, double[] v, long position) =>
            [.. Projected(name, v).Chunk(d).Select(head => name == "v_proj" ? head : Turned(Normed(name, head, QueryKeyNorms.EachHead), position))];

        double[] Turned(double[] head, long position) => config.Rotated.Count > 0 && !config.Rotated[layer] ? head : Rotated(head, position, row.Count);


        double[] Projected(string name, double[] v)
        {
            if (!config.Family.HasFusedProjections)
                return Normed(name, Linear($"{module}.{name}", v), QueryKeyNorms.WholeProjections);
            var (all, queries, keys) = (Linear($"{module}.qkv_proj", v), config.Heads * d, config.KeyValueHeads * d);
            return name == "q_proj" ? all[..queries] : name == "k_proj" ? all[queries..(queries + keys)] : all[(queries + keys)..];
        }

        double[] Normed(string name, double[] v, QueryKeyNorms what) => norms == what && name != "v_proj" ? Norm($"{module}.{name[0]}_norm", v) : v;

        double[] Head(int t, int head)
        {
            var kv = head / (config.Heads / config.KeyValueHeads);
            var first = window == 0 ? 0 : Math.Max(0, t + 1 - window);
            var visible = Enumerable.Range(first, t + 1 - first).Where(s => row[s].Mask != 0 && row[s].Document == row[t].Document).ToList();
            var scores = visible.Select(s => Math.Exp(queries[t][head].Zip(keys[s][kv], (a, b) => a * b).Sum() / Math.Sqrt(d))).ToList();
            return [.. Enumerable.Range(0, d).Select(i => visible.Zip(scores, (s, p) => p * values[s][kv][i]).Sum() / scores.Sum())];
        }
    }

    /// <summary>The first channels in pairs, the others as they are.</summary>
    private double[] Rotated(double[] head, long position, int sequence)
    {
        var half = config.RotaryDim / 2;
        var scale = config.RopeScaling?.AttentionFactor ?? 1;
        return [.. Enumerable.Range(0, head.Length).Select(i =>
        {
            if (i >= 2 * half)
                return head[i];
            var angle = position * Frequency(i % half, sequence);
            return scale * ((head[i] * Math.Cos(angle)) + ((i < half ? -head[i + half] : head[i - half]) * Math.Sin(angle)));
        })];
    }

    /// <summary>Radians per position. [Transformers, modeling_rope_utils; longrope: Ding et al. 2024, (2)]</summary>
    private double Frequency(int pair, int sequence)
    {
        double Plain(double theta) => Math.Pow(theta, -2.0 * pair / config.RotaryDim);
        double Grown(double factor) => config.RopeTheta
            * Math.Pow((factor * Math.Max(sequence, config.MaxPositions) / config.MaxPositions) - (factor - 1), config.RotaryDim / (config.RotaryDim - 2.0));
        return config.RopeScaling switch
        {
            null => Plain(config.RopeTheta),
            { Type: "linear" } s => Plain(config.RopeTheta) / s.Factor,
            { Type: "dynamic" } s => Plain(Grown(s.Factor)),
            { Type: "longrope" } s => Plain(config.RopeTheta) / (sequence > s.OriginalContext ? s.LongFactors : s.ShortFactors)[pair],
            var other => throw new NotSupportedException(other.Type),
        };
    }

    private double[] Mlp(string module, double[] x)
    {
        var size = config.IntermediateSize;
        double[][] parts = config.Family.HasFusedProjections && Linear($"{module}.gate_up_proj", x) is var all ? [all[..size], all[size..]]
            : [Linear($"{module}.gate_proj", x), Linear($"{module}.up_proj", x)];
        return Linear($"{module}.down_proj", [.. parts[0].Zip(parts[1], (g, u) => g / (1 + Math.Exp(-g)) * u)]);
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
