using System.Reflection;

namespace Halo.Tests.Runner;

/// <summary>What the package Halo.Training shows: PublicAPI.*.txt lists the members, and these say which types there may be.</summary>
public class PublicSurfaceTests
{
    private const BindingFlags Declared = BindingFlags.Public | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly;

    private static readonly Type[] Shown = typeof(TrainConfig).Assembly.GetExportedTypes();

    [Fact]
    public void Public_types_are_those_of_the_supported_namespace() => Assert.All(Shown, type => Assert.Equal("Halo.Training", type.Namespace));

    /// <summary>The other packages may change with any version: a choice of theirs is a name in a config file, which stays.</summary>
    [Fact]
    public void Of_the_other_packages_they_show_choices_alone()
    {
        var others = Shown.SelectMany(TypesShownBy).SelectMany(Parts).Where(t => t.Assembly != typeof(TrainConfig).Assembly && IsOurs(t)).Distinct().ToList();
        Assert.NotEmpty(others);
        Assert.All(others, type => Assert.True(type.IsEnum, $"{type.FullName}: expected an enum. Wrap it in a type of Halo.Training."));
    }

    [Fact]
    public void Halo_Graph_keeps_files_and_memory_plans_to_itself() =>
        Assert.DoesNotContain(typeof(Halo.Ir.Model).Assembly.GetExportedTypes(), type => type.Namespace is "Halo.Io" or "Halo.Memory");

    private static bool IsOurs(Type type) => type.Assembly.GetName().Name!.StartsWith("Halo", StringComparison.Ordinal);

    private static IEnumerable<Type> TypesShownBy(Type type) =>
    [
        .. type.GetInterfaces(), type.BaseType ?? type,
        .. type.GetProperties(Declared).Select(p => p.PropertyType), .. type.GetFields(Declared).Select(f => f.FieldType),
        .. type.GetMethods(Declared).SelectMany(m => m.GetParameters().Select(p => p.ParameterType).Append(m.ReturnType)),
        .. type.GetConstructors(Declared).SelectMany(c => c.GetParameters().Select(p => p.ParameterType)),
    ];

    private static IEnumerable<Type> Parts(Type type) =>
        type.HasElementType ? Parts(type.GetElementType()!) : type.IsGenericType ? type.GetGenericArguments().SelectMany(Parts).Append(type) : [type];
}
