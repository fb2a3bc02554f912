using Halo.Passes.Infra;

namespace Halo.Tests.Passes;

public class PipelineTests
{
    [Theory]
    [InlineData("")]
    [InlineData("upgrade-opset,remove-dead-code,fold-splats,fold-constants,deduplicate")]
    [InlineData("fold-constants{max-bytes=1024},deduplicate")]
    [InlineData("rotate-operands{scheme=halo-2},quantize-operands{format=fp8}")]
    [InlineData("rotate-operands{scheme=\"F=K;E=N+M;G=N\" max-token-block=64}")]
    [InlineData("quantize-operands{format=\"F=e4m3,e4m3;E=e5m2,e4m3;G=e5m2,e4m3\"}")]
    public void Text_comes_back_as_it_was_written(string text)
    {
        Assert.Equal(text, PipelineParser.ToText(PipelineParser.Parse(text)));
    }

    [Theory]
    [InlineData(" fold-constants { max-bytes = 1024 } ,\n deduplicate { } ", "fold-constants{max-bytes=1024},deduplicate")]
    [InlineData("upgrade-opset{to=21}", "upgrade-opset")]
    [InlineData("upgrade-opset{to=\"23\"}", "upgrade-opset{to=23}")]
    public void Blanks_quotes_and_defaults_do_not_matter(string text, string canonical)
    {
        Assert.Equal(canonical, PipelineParser.ToText(PipelineParser.Parse(text)));
    }

    [Theory]
    [InlineData("fold-constant", "Did you mean 'fold-constants'?")]
    [InlineData("xyz", "There are: upgrade-opset, ")]
    [InlineData("fold-constants{max-byte=3}", "Did you mean 'max-bytes'?")]
    [InlineData("deduplicate{x=3}", "takes none")]
    [InlineData("fold-constants{max-bytes=big}", "expected a value of type int64, found 'big'")]
    [InlineData("fold-constants{max-bytes=99999999999999999999}", "found '99999999999999999999'")]
    [InlineData("fold-constants{max-bytes=1 max-bytes=2}", "it twice")]
    [InlineData("rotate-operands", "expected option 'scheme', found it missing")]
    [InlineData("rotate-operands{scheme=halo-9}", "halo-9")]
    [InlineData("rotate-operands{scheme=\"F=K}", "found the end")]
    [InlineData("fold-constants,", "expected a pass after the comma")]
    [InlineData(",fold-constants", "expected the name of a pass")]
    [InlineData("fold-constants deduplicate", "expected ','")]
    [InlineData("fold-constants{max-bytes}", "expected '='")]
    [InlineData("fold-constants{", "expected '}'")]
    public void Mistakes_are_named(string text, string message)
    {
        Assert.Contains(message, Assert.ThrowsAny<HaloException>(() => PipelineParser.Parse(text)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_named_pipeline_parses()
    {
        Assert.Equal(Pipelines.Cleanup, PipelineParser.ToText(Pipelines.Parse(Pipelines.Cleanup)));
    }
}
