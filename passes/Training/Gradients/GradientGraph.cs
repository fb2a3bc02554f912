using System.Globalization;
using Halo.Building;
using Halo.Ir;

namespace Halo.Passes.Training.Gradients;

/// <summary>The gradients of a graph's values while they are built: what has been found so far for each value, and the constants in use.</summary>
/// <param name="model">The model that is differentiated; nodes are added behind all others.</param>
/// <param name="needing">The values whose gradient some trained parameter needs.</param>
internal sealed class GradientGraph(Model model, IReadOnlySet<Value> needing)
{
    private readonly Dictionary<Value, Value> _gradients = [];
    private readonly Dictionary<string, Value> _constants = new(StringComparer.Ordinal);

    public Model Model => model;

    public bool Needs(Value? value) => value is not null && needing.Contains(value);

    /// <summary>The gradient found so far; null where nothing has contributed.</summary>
    public Value? Of(Value value) => _gradients.GetValueOrDefault(value);

    /// <summary>Adds to the gradient of <paramref name="value"/>, in the order of the calls; that of codes is float32.</summary>
    public void Add(Value value, Value gradient, GraphBuilder build)
    {
        if (gradient.Type != TypeOf(value) || !gradient.Shape!.Equals(value.Shape))
            throw new InvalidOperationException($"the gradient of {value} is {gradient}");
        _gradients[value] = Of(value) is { } sum ? build.Op("sum", "Add", [sum, gradient]) : gradient;
    }

    /// <summary>The type of a value's gradient.</summary>
    private static ElementType TypeOf(Value value) => value.Type.IsFloat() ? value.Type : ElementType.Float;

    /// <summary>An initializer with this one element, made once.</summary>
    public Value Scalar(double value, ElementType type)
    {
        var text = value.ToString("R", CultureInfo.InvariantCulture);
        return Constant(type == ElementType.Float ? text : $"{text}_{type.Name()}", type switch
        {
            ElementType.Float => Tensor.Scalar((float)value),
            ElementType.Double => Tensor.Of(type, [], [value]),
            ElementType.Float16 => Tensor.Of(type, [], [(Half)value]),
            ElementType.BFloat16 => Tensor.Of(type, [], [RoundedToBFloat16((float)value)]),
            ElementType.Int64 => Tensor.Scalar((long)value),
            _ => throw new InvalidOperationException($"no scalar of type {type.Name()}"),
        });
    }

    /// <summary>An initializer with these integers, made once.</summary>
    public Value Ints(params ReadOnlySpan<long> values) => Constant($"[{string.Join(",", values.ToArray())}]", Tensor.Int64s(values));

    public Value Zeros(Value like, GraphBuilder build) => build.Op("zeros", "ConstantOfShape", [Ints(like.Shape!.Sizes)],
        Attribute.Of("value", new Tensor(TypeOf(like), [1], new MemoryBytes(new byte[TypeOf(like).SizeBytes(1)]))));

    private Value Constant(string text, Tensor tensor)
    {
        if (!_constants.TryGetValue(text, out var constant))
            _constants.Add(text, constant = model.Graph.AddInitializer(model.Graph.FreeName($"grad/{text}"), tensor));
        return constant;
    }

    /// <summary>Half-even to the upper 16 bits of a finite float32.</summary>
    private static ushort RoundedToBFloat16(float value)
    {
        var bits = BitConverter.SingleToUInt32Bits(value);
        return (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }
}
