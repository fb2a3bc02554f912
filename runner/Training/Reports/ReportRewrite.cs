namespace Halo.Runner.Training.Reports;

/// <summary>The part of the page about the graph: products by role and format, passes, and what was skipped.</summary>
internal static class ReportRewrite
{
    public static object?[] Draw(RewriteSummary rewrite)
    {
        var frozen = rewrite.Frozen > 0 ? $" ({rewrite.Frozen} frozen)" : "";
        return
        [
            Html.Tag("h2", "Graph"),
            Html.Div("note", $"{rewrite.Linears} linear layers found{frozen}. F is the forward product, E the product for the input's gradient, "
                + "G the one for the weight's."),
            rewrite.Gemms.Count == 0 ? null : Html.Div("card scroll", Html.Table(["Product", "Rotated along", "Formats, left and right", "Count"],
                rewrite.Gemms.Select(g => new object[] { g.Role, Dash(g.Rotations), Dash(g.Formats), g.Count }))),
            rewrite.Passes.Count == 0 ? null : Html.Div("card scroll", Html.Table(["Pass", "Options", "Effect on values", "Measured difference", "Rewrites"],
                rewrite.Passes.Select(p => new object[] { Html.Tag("code", p.Name), p.Options.Length == 0 ? "" : Html.Tag("code", p.Options), p.Effect,
                    Dash(p.Measured), p.Rewrites }))),
            rewrite.Skipped.Count == 0 ? null
                : Html.Div("card scroll", Html.Tag("details", Html.Tag("summary", $"Nodes left as they were: {rewrite.Skipped.Count:#,0}"),
                Html.Table(["Node", "Reason"], rewrite.Skipped.Select(s => new object[] { Html.Tag("code", s.Node), s.Reason })))),
        ];
    }

    private static string Dash(string text) => text.Length == 0 ? "\u2013" : text;
}
