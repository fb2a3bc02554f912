namespace Halo.Models.Chat.Jinja;

/// <summary>Parses a template's statements: for, if, set, macro, filter and generation.</summary>
internal sealed class JinjaParser : JinjaExpressionParser
{
    private JinjaParser(List<JinjaToken> tokens) : base(tokens) { }

    /// <exception cref="HaloException">Syntax that is wrong or not supported, with its line.</exception>
    internal static List<JinjaStatement> Parse(string template)
    {
        var parser = new JinjaParser(JinjaLexer.Cut(template));
        var body = parser.Body(out var end);
        return end == "" ? body : throw JinjaError.At(parser.Current.Line, "a statement", $"'{end}'");
    }

    /// <summary>
    /// Statements up to one of <paramref name="ends"/>, whose tag is left open behind its name; at the end of the template <paramref name="end"/> is empty.
    /// </summary>
    private List<JinjaStatement> Body(out string end, params string[] ends)
    {
        var body = new List<JinjaStatement>();
        while (true)
        {
            var token = Take();
            switch (token.Kind)
            {
                case JinjaTokenKind.Text: body.Add(new TextStatement(token.Text, token.Line)); break;
                case JinjaTokenKind.ExpressionStart:
                    body.Add(new PrintStatement(Expression(), token.Line));
                    Close(JinjaTokenKind.ExpressionEnd, "'}}'");
                    break;
                case JinjaTokenKind.StatementStart:
                    var name = ExpectName();
                    if (ends.Contains(name)) { end = name; return body; }
                    body.Add(Nested(() => Statement(name, token.Line)));
                    break;
                default:
                    if (ends.Length > 0) throw JinjaError.At(token.Line, string.Join(" or ", ends), "the end of the template");
                    end = "";
                    return body;
            }
        }
    }

    private JinjaStatement Statement(string name, int line)
    {
        switch (name)
        {
            case "if": return If(line);
            case "for": return For(line);
            case "set": return Set(line);
            case "macro": return Macro(line);
            case "break" or "continue":
                CloseStatement();
                return new JumpStatement(name == "break", line);
            case "generation":
                CloseStatement();
                return new BlockStatement(BodyTo("endgeneration"), line);
            case "filter":
                var value = Filtered(new NameExpression(FilterStatement.Text, line), isPiped: true);
                CloseStatement();
                return new FilterStatement(value, BodyTo("endfilter"), line);
            default: throw JinjaError.At(line, "for, if, set, macro, filter, break, continue or generation", $"'{name}'");
        }
    }

    private IfStatement If(int line)
    {
        var branches = new List<(JinjaExpression?, List<JinjaStatement>)>();
        JinjaExpression? condition = Expression();
        while (true)
        {
            CloseStatement();
            string end;
            branches.Add((condition, condition is null ? Body(out end, "endif") : Body(out end, "elif", "else", "endif")));
            if (end == "endif") break;
            condition = end == "elif" ? Expression() : null;
        }
        CloseStatement();
        return new IfStatement(branches, line);
    }

    private ForStatement For(int line)
    {
        var names = new List<string> { ExpectName() };
        while (Accept(",")) names.Add(ExpectName());
        Expect("in");
        var items = Or();
        var filter = Accept("if") ? Or() : null;
        CloseStatement();
        var body = Body(out var end, "else", "endfor");
        CloseStatement();
        return new ForStatement(names, items, filter, body, end == "else" ? BodyTo("endfor") : [], line);
    }

    private SetStatement Set(int line)
    {
        var name = ExpectName();
        var attribute = Accept(".") ? ExpectName() : null;
        var value = Accept("=") ? Expression() : null;
        CloseStatement();
        return new SetStatement(name, attribute, value, value is null ? BodyTo("endset") : null, line);
    }

    private MacroStatement Macro(int line)
    {
        var name = ExpectName();
        var parameters = new List<(string, JinjaExpression?)>();
        Expect("(");
        while (!Accept(")"))
        {
            parameters.Add((ExpectName(), Accept("=") ? Expression() : null));
            if (!Is(")")) Expect(",");
        }
        CloseStatement();
        return new MacroStatement(name, parameters, BodyTo("endmacro"), line);
    }

    private List<JinjaStatement> BodyTo(string end)
    {
        var body = Body(out _, end);
        CloseStatement();
        return body;
    }

    private void CloseStatement() => Close(JinjaTokenKind.StatementEnd, "'%}'");

    private void Close(JinjaTokenKind kind, string expected)
    {
        if (Current.Kind != kind) throw JinjaError.At(Current.Line, expected, $"'{Current.Text}'");
        Take();
    }
}
