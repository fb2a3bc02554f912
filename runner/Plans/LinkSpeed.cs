using System.Globalization;
using System.Text.RegularExpressions;

namespace Halo.Runner.Plans;

/// <summary>How fast a rank sends: to ranks of its machine, and to others.</summary>
/// <param name="NodeBytes">Bytes a second within a machine.</param>
/// <param name="PeerBytes">Bytes a second to other machines.</param>
/// <param name="LatencySeconds">Of one collective.</param>
internal sealed partial record LinkSpeed(double NodeBytes, double PeerBytes, double LatencySeconds)
{
    /// <summary>Of a text such as <c>450GB/s</c>, <c>450GB/s,50GB/s</c> or <c>450GB/s,50GB/s,20us</c>.</summary>
    /// <exception cref="HaloException">Another text.</exception>
    public static LinkSpeed Parse(string text)
    {
        if (Form().Match(text) is not { Success: true } match)
        {
            throw new HaloException("plan", "link",
                "a speed within a machine and, where it is another, between machines and a latency, such as 450GB/s,50GB/s,20us", $"'{text}'",
                "Write numbers of MB/s, GB/s or TB/s; the speed is what one rank sends.");
        }
        var node = Speed(1);
        return new LinkSpeed(node, match.Groups[3].Success ? Speed(3) : node,
            match.Groups[5].Success ? double.Parse(match.Groups[5].Value, CultureInfo.InvariantCulture) / 1e6 : 20e-6);

        double Speed(int group) => double.Parse(match.Groups[group].Value, CultureInfo.InvariantCulture)
            * match.Groups[group + 1].Value switch { "M" => 1e6, "G" => 1e9, _ => 1e12 };
    }

    /// <summary>Seconds of an update's collectives, one after the other. Over all ranks they go at the speed between machines where there are several.</summary>
    public double Seconds(PlannedTraffic traffic, int nodes) =>
        traffic.Parts.Sum(p => (p.Bytes / (nodes == 1 || p.Group == "node" ? NodeBytes : PeerBytes)) + (p.Count * LatencySeconds));

    [GeneratedRegex("^([0-9.]+)([MGT])B/s(?:,([0-9.]+)([MGT])B/s(?:,([0-9.]+)us)?)?$")]
    private static partial Regex Form();
}
