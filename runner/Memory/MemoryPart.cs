namespace Halo.Runner.Memory;

/// <summary>Bytes of one class.</summary>
/// <param name="Name">For a reader, such as <c>gradients</c>.</param>
/// <param name="SizeBytes">As its allocator rounds them.</param>
internal sealed record MemoryPart(string Name, long SizeBytes);
