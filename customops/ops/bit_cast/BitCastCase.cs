using Halo.Ir;

namespace Halo.CustomOps.Cases;

/// <summary>Every number of either format as its byte, and back.</summary>
public sealed class BitCastCase() : OpCase("BitCast")
{
    public override IEnumerable<OpCall> Calls(Random random)
    {
        foreach (var format in (NumberFormat[])[NumberFormat.E4M3, NumberFormat.E5M2])
        {
            var entries = CodeTable.Of(format).Entries;
            var all = new HostTensor([entries.Length], [.. entries.Select(e => (float)e.Value)]); // the largest is qmax, so that codes are of a scale of 1
            yield return new($"{format} every code", [all],
                (build, inputs) => [build.BitCast(build.Quantize(inputs[0], format, "quantize").Codes, ElementType.UInt8, "bytes")],
                () => [new([.. entries.Select(e => (double)(e.Value < 0 ? e.Code + 128 : e.Code))], _ => 0)]);
            yield return Back(format, all);
            yield return Back(format, HostTensor.Normal(random, 3, 1, 5));
        }
    }

    private static OpCall Back(NumberFormat format, HostTensor x) => new($"{format} {x} and back", [x],
        (build, inputs) =>
        {
            var codes = build.Quantize(inputs[0], format, "quantize").Codes;
            return [build.BitCast(build.BitCast(codes, ElementType.UInt8, "bytes"), codes.Type, "floats")];
        },
        () => [new(CodeTable.Quantize(format, x.Elements).Values, _ => 0)]);
}
