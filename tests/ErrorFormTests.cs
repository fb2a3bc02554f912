namespace Halo.Tests;

public class ErrorFormTests
{
    [Fact]
    public void A_message_has_all_its_parts()
    {
        var e = new HaloException("read-onnx", "x.onnx", "a model", "text", "Export it again.");
        Assert.Equal("read-onnx: x.onnx: expected a model, found text. Export it again.", e.Message);
    }
}
