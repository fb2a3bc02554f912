using System.Diagnostics;
using System.Globalization;
using System.IO.Compression;
using System.Text.RegularExpressions;
using Halo.Models.Bundled;

namespace Halo.Tests.Packing;

/// <summary>The libraries' packages, made of what the tests were built with, and the samples on them alone in a folder outside the repository.</summary>
public sealed class PackageTests(PackageTests.Feed feed) : IClassFixture<PackageTests.Feed>
{
    private static readonly string[] Libraries = ["Halo.CustomOps", "Halo.Graph", "Halo.Models", "Halo.Passes", "Halo.Training"];

    [Fact]
    public void Packages_have_code_documentation_licence_notices_readme_and_symbols()
    {
        Assert.Equal(Libraries, Files("*.nupkg").Select(f => Regex.Replace(f, @"\.\d+\.\d+\.\d+\.nupkg$", "")));
        foreach (var name in Libraries)
        {
            var content = Entries($"{name}.*.nupkg");
            foreach (var part in new[] { $"lib/net10.0/{name}.dll", $"lib/net10.0/{name}.xml", "LICENSE", "THIRD-PARTY-NOTICES.md", "PACKAGE.md" })
                Assert.Contains(part, content);
            Assert.Contains($"lib/net10.0/{name}.pdb", Entries($"{name}.*.snupkg"));
        }
        Assert.Contains("runtimes/linux-x64/native/libhalo.so", Entries("Halo.CustomOps.*.nupkg"));
    }

    [Fact]
    public void Notices_name_every_package_that_the_tool_carries()
    {
        var notices = File.ReadAllText(Path.Combine(RepositoryRoot.Path, "THIRD-PARTY-NOTICES.md"));
        using var dependencies = System.Text.Json.JsonDocument.Parse(File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "halo.deps.json")));
        foreach (var library in dependencies.RootElement.GetProperty("libraries").EnumerateObject().Where(l => l.Value.GetProperty("type").GetString() == "package"))
            Assert.Matches($@"[|,] {Regex.Escape(library.Name.Split('/')[0])}[ ,]", notices);
    }

    [Fact]
    public void Samples_rewrite_train_export_and_generate()
    {
        var samples = CopySamples("samples", SearchOption.AllDirectories);
        Feed.Dotnet(samples, feed.Folder, "build", "Samples.slnx", "--nologo", "-v", "quiet");
        LlamaTiny.ExtractTrainingGraph(Path.Combine(samples, "training.onnx"));

        Assert.Matches(@"28 linear layers with 84 products, 84 of them in 8 bits; [1-9]\d* rotations", Run("rewrite", "training.onnx", "training-fp8.onnx"));
        Assert.True(File.Exists(Path.Combine(samples, "training-fp8.onnx")));

        var losses = Regex.Match(Run("train", LlamaTiny.Folder, "data/questions.jsonl", "run"), @"validation loss (\S+) -> (\S+);");
        Assert.True(Number(losses.Groups[2]) < Number(losses.Groups[1]) - 0.2, losses.Value);

        var share = Regex.Match(Run("export", "run", "served"), @"at (\S+)\s?% of [1-9]\d* places");
        Assert.True(Number(share.Groups[1]) > 90, share.Value);

        Assert.NotEmpty(Run("generate", "served", "Write a SQL query.").Trim());

        string Run(string sample, params string[] arguments) =>
            Feed.Dotnet(samples, feed.Folder, ["run", "--no-build", "--project", sample, "--", .. arguments]);
    }

    [Fact]
    public void Programs_in_the_readmes_of_packages_compile()
    {
        var project = CopySamples("readmes", SearchOption.TopDirectoryOnly); // their settings
        File.WriteAllText(Path.Combine(project, "Readmes.csproj"), """
            <Project Sdk="Microsoft.NET.Sdk">
              <PropertyGroup><OutputType>Library</OutputType></PropertyGroup>
              <ItemGroup><Using Include="Microsoft.ML.OnnxRuntime" /></ItemGroup>
            </Project>
            """);
        var programs = Directory.EnumerateDirectories(RepositoryRoot.Path).Select(folder => Path.Combine(folder, "PACKAGE.md")).Where(File.Exists)
            .SelectMany(readme => Regex.Matches(File.ReadAllText(readme), "```csharp\n(.*?)```", RegexOptions.Singleline)).ToList();
        Assert.True(programs.Count >= 4);
        for (var i = 0; i < programs.Count; i++)
        {
            var text = $"internal static class Program{i} {{ internal static void Run() {{ {programs[i].Groups[1]} }} }}";
            File.WriteAllText(Path.Combine(project, $"Program{i}.cs"), text);
        }
        Feed.Dotnet(project, feed.Folder, "build", "Readmes.csproj", "--nologo", "-v", "quiet");
    }

    /// <summary>Files of samples/ in a folder of the feed that is made; the packages come from the feed.</summary>
    private string CopySamples(string name, SearchOption option)
    {
        string from = Path.Combine(RepositoryRoot.Path, "samples"), to = Path.Combine(feed.Folder, name);
        foreach (var source in Directory.EnumerateFiles(from, "*", option).Where(IsSource))
        {
            var copy = Path.Combine(to, Path.GetRelativePath(from, source));
            Directory.CreateDirectory(Path.GetDirectoryName(copy)!);
            File.Copy(source, copy);
        }
        File.WriteAllText(Path.Combine(to, "nuget.config"), feed.NuGetConfig);
        return to;
    }

    private static double Number(Group text) => double.Parse(text.Value, CultureInfo.InvariantCulture);

    private static bool IsSource(string path) => !path.Split(Path.DirectorySeparatorChar).Any(part => part is "bin" or "obj") && Path.GetFileName(path) != "nuget.config";

    private string[] Files(string pattern) =>
        [.. Directory.GetFiles(feed.Packages, pattern).Select(f => Path.GetFileName(f)!).Order(StringComparer.Ordinal)];

    private string[] Entries(string pattern)
    {
        using var archive = ZipFile.OpenRead(Path.Combine(feed.Packages, Assert.Single(Files(pattern))));
        return [.. archive.Entries.Select(e => e.FullName)];
    }

    /// <summary>A local feed, and a cache of packages of its own; what is not Halo's comes from the cache that the tests were restored with.</summary>
    public sealed class Feed : IDisposable
    {
        private readonly TemporaryFolder _folder = new();

        public Feed()
        {
            var configuration = new DirectoryInfo(AppContext.BaseDirectory).Parent!.Name;
            Dotnet(RepositoryRoot.Path, _folder.Path, "build", ".ci/packages.proj", "-t:Pack", "-p:NoBuild=true", $"-p:Configuration={configuration}",
                $"-p:PackageOutputPath={Packages}/", "--nologo", "-v", "quiet");
        }

        public string Folder => _folder.Path;

        public string Packages => _folder["packages"];

        public string NuGetConfig => $"""
            <configuration>
              <packageSources><clear /><add key="halo" value="{Packages}" /></packageSources>
              <fallbackPackageFolders><clear /><add key="restored" value="{Restored}" /></fallbackPackageFolders>
            </configuration>
            """;

        private static string Restored => Environment.GetEnvironmentVariable("NUGET_PACKAGES")
            ?? Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".nuget", "packages");

        public void Dispose() => _folder.Dispose();

        /// <summary>What a command of the SDK prints; it must end with 0.</summary>
        public static string Dotnet(string at, string cache, params string[] arguments)
        {
            var info = new ProcessStartInfo("dotnet", arguments) { WorkingDirectory = at, RedirectStandardOutput = true, RedirectStandardError = true };
            if (at != RepositoryRoot.Path)
                info.Environment["NUGET_PACKAGES"] = Path.Combine(cache, "cache");
            foreach (var name in info.Environment.Keys.Where(k => k.StartsWith("MSBuild", StringComparison.OrdinalIgnoreCase)).ToList())
                info.Environment.Remove(name); // of the build that runs the tests
            info.Environment["MSBUILDDISABLENODEREUSE"] = "1";
            using var process = Process.Start(info)!;
            var error = process.StandardError.ReadToEndAsync();
            var output = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            Assert.True(process.ExitCode == 0, $"dotnet {string.Join(' ', arguments)} ended with {process.ExitCode}:\n{output}\n{error.Result}");
            return output;
        }
    }
}
