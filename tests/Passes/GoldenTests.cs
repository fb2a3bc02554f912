using Halo.CustomOps;
using Halo.Passes.Infra;
using Halo.Runner.Sessions;
using Halo.Text;

namespace Halo.Tests.Passes;

/// <summary>Every folder Golden/PASS/CASE: the pass turns before.txt into after.txt. HALO_UPDATE_GOLDEN=1 writes after.txt anew.</summary>
/// <remarks>
/// options.txt, where there is one, holds the options as in pipeline text; checkpoint.txt a graph whose initializers are the model's checkpoint. A case
/// whose name ends in no_match is left as it is.
/// </remarks>
public class GoldenTests
{
    private static readonly string Root = Path.Combine(AppContext.BaseDirectory, "Golden");

    public static TheoryData<string, string> Cases
    {
        get
        {
            var data = new TheoryData<string, string>();
            foreach (var before in Directory.GetFiles(Root, "before.txt", SearchOption.AllDirectories).Order(StringComparer.Ordinal))
            {
                var parts = Path.GetRelativePath(Root, Path.GetDirectoryName(before)!).Split(Path.DirectorySeparatorChar);
                data.Add(parts[0], parts[1]);
            }
            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void A_pass_turns_before_into_after_and_then_rests(string pass, string name)
    {
        var folder = Path.Combine(Root, pass, name);
        var options = Path.Combine(folder, "options.txt");
        var passes = PipelineParser.Parse(pass + (File.Exists(options) ? $"{{{File.ReadAllText(options).Trim()}}}" : ""));
        var model = GraphParser.Parse(File.ReadAllText(Path.Combine(folder, "before.txt")), HaloOperators.Catalogue);
        var before = GraphPrinter.Print(model);
        var checkpoint = Path.Combine(folder, "checkpoint.txt");
        var run = new PassOptions
        {
            Evaluator = new OnnxEvaluator(),
            Checkpoint = !File.Exists(checkpoint) ? null
                : GraphParser.Parse(File.ReadAllText(checkpoint), HaloOperators.Catalogue).Graph.Initializers.ToDictionary(v => v.Name, v => v.Initializer!),
        };

        var rewrites = PassManager.Run(model, passes, run).Passes.Single().Rewrites;
        var after = GraphPrinter.Print(model);
        Golden.Check(Path.Combine("Golden", pass, name, "after.txt"), after);
        Assert.Equal(name.EndsWith("no_match", StringComparison.Ordinal), rewrites == 0);
        if (rewrites == 0)
            Assert.Equal(before, after);

        Assert.Equal(0, PassManager.Run(model, passes, run).Passes.Single().Rewrites);
        Assert.Equal(after, GraphPrinter.Print(model));
    }

    public static TheoryData<string> PassNames => [.. Pipelines.All.Select(PassNameAttribute.Of)];

    [Theory]
    [MemberData(nameof(PassNames))]
    public void Every_pass_has_goldens_of_a_match_and_of_none(string pass)
    {
        var folder = Path.Combine(Root, pass);
        var cases = Directory.Exists(folder) ? Directory.GetDirectories(folder).Select(d => Path.GetFileName(d)!).ToList() : [];
        Assert.Contains(cases, c => c.EndsWith("no_match", StringComparison.Ordinal));
        Assert.Contains(cases, c => !c.EndsWith("no_match", StringComparison.Ordinal));
    }

    [Fact]
    public void Every_golden_folder_is_that_of_a_pass()
    {
        Assert.Empty(Directory.GetDirectories(Root).Select(d => Path.GetFileName(d)!).Except(Pipelines.All.Select(PassNameAttribute.Of)));
    }

    [Fact]
    public void Every_pass_stands_in_the_list_under_its_name()
    {
        var written = typeof(Pipelines).Assembly.GetTypes().Where(t => t.IsAssignableTo(typeof(IGraphPass)) && !t.IsAbstract);
        Assert.Equal(written.OrderBy(t => t.Name, StringComparer.Ordinal), Pipelines.All.OrderBy(t => t.Name, StringComparer.Ordinal));
        Assert.All(Pipelines.All,
            t => Assert.Equal(PassNameAttribute.Of(t), ((IGraphPass)System.Runtime.CompilerServices.RuntimeHelpers.GetUninitializedObject(t)).Name));
    }
}
