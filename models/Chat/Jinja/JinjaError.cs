namespace Halo.Models.Chat.Jinja;

internal static class JinjaError
{
    /// <summary>A defect of a template at a line, counted from 1.</summary>
    internal static HaloException At(int line, string expected, string found) =>
        new("chat-template", $"line {line}", expected, found, "Change the template to the part of Jinja that chat templates use.");

    internal static HaloException At(JinjaSite site, string expected, string found) => At(site.Line, expected, found);
}
