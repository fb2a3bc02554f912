using System.Reflection;

namespace Halo.Passes.Infra;

/// <summary>The name of a pass whose type is called otherwise: pipelines and ledgers that people have kept go on to work when a type is renamed.</summary>
[AttributeUsage(AttributeTargets.Class)]
internal sealed class PassNameAttribute(string name) : System.Attribute
{
    public string Name { get; } = name;

    /// <summary>The name in pipeline text: that of the attribute, else the type's name in kebab-case.</summary>
    public static string Of(Type pass) => pass.GetCustomAttribute<PassNameAttribute>()?.Name ?? PassOption.Kebab(pass.Name);
}
