using Halo.Ir;

namespace Halo.Passes.Cleanup.Repairs;

/// <summary>One form that ONNX Runtime refuses, and what takes its place.</summary>
/// <param name="OpType">The ONNX operator it is about.</param>
/// <param name="Reason">What the runtime wants, with the version in which it was seen.</param>
/// <param name="On">For one model, what repairs a node and says whether there was anything to repair.</param>
internal sealed record RepairRule(string OpType, string Reason, Func<Model, Func<Node, bool>> On);
