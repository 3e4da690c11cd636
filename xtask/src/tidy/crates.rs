//! The rules between the crates, and for their manifests. PURE.

use super::{Complaint, File};
use crate::workspace::Package;

/// Who may know whom of our crates, in any table of dependencies: whoever is not listed may know none.
/// The libraries agree through words that they do not own; `tests` drives the built binary, `xtask` builds it.
const MAY_KNOW: &[(&str, &[&str])] = &[("mini", &["image", "runtime", "network"])];

/// What every manifest says, so that lints, version and licence are set in one place.
const IN_EVERY_MANIFEST: &[&str] = &[
    "[lints]\nworkspace = true\n",
    "\nversion.workspace = true\n",
    "edition.workspace = true\n",
    "rust-version.workspace = true\n",
    "license.workspace = true\n",
    "publish.workspace = true\n",
];

/// Everything that is wrong between the workspace's `packages` and in their manifests among `files`.
pub(super) fn complaints(packages: &[Package], files: &[File]) -> Vec<Complaint> {
    let names: Vec<&str> = packages.iter().map(|package| &*package.name).collect();
    let mut found = Vec::new();
    for package in packages {
        let path = manifest_in_checkout(package, files);
        for dependency in package.dependencies.iter().filter(|dependency| names.contains(&&*dependency.name))
        {
            if !may_know(&package.name, &dependency.name) {
                let what = format!("`{}` may not depend on `{}`", package.name, dependency.name);
                found.push(Complaint { path: path.to_owned(), line: 0, what });
            }
        }
    }
    found.extend(files.iter().filter(|file| is_member(&file.path)).flat_map(manifest));
    found
}

fn may_know(who: &str, whom: &str) -> bool {
    MAY_KNOW.iter().any(|(name, known)| *name == who && known.contains(&whom))
}

fn manifest(file: &File) -> Vec<Complaint> {
    let complain = |what: String| Complaint { path: file.path.clone(), line: 0, what };
    let missing = IN_EVERY_MANIFEST.iter().filter(|wanted| !file.text.contains(**wanted));
    let mut found: Vec<_> = missing
        .map(|wanted| complain(format!("does not say `{}`", wanted.trim().replace('\n', " "))))
        .collect();

    let mut table = "";
    for (index, line) in file.text.lines().enumerate() {
        if line.starts_with('[') {
            table = line;
        } else if table.contains("dependencies]") && line.contains('=') && !line.contains("workspace = true")
        {
            let what = "a dependency with a version of its own: versions stand in the workspace's Cargo.toml"
                .to_owned();
            found.push(Complaint { path: file.path.clone(), line: index + 1, what });
        }
    }
    found
}

/// A member's manifest: `NAME/Cargo.toml`. Deeper ones belong to workspaces of their own.
fn is_member(path: &str) -> bool {
    path.strip_suffix("/Cargo.toml").is_some_and(|directory| !directory.contains('/'))
}

fn manifest_in_checkout<'a>(package: &Package, files: &'a [File]) -> &'a str {
    let found =
        files.iter().find(|file| is_member(&file.path) && package.manifest_path.ends_with(&file.path));
    found.map_or("Cargo.toml", |file| &file.path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Dependency;

    fn package(name: &str, dependencies: &[&str]) -> Package {
        let dependencies = dependencies.iter().map(|name| Dependency { name: (*name).to_owned() }).collect();
        Package {
            name: name.to_owned(),
            version: String::new(),
            license: None,
            dependencies,
            manifest_path: format!("/somewhere/{name}/Cargo.toml").into(),
        }
    }

    const GOOD: &str = "[package]\nname = \"x\"\nversion.workspace = true\nedition.workspace = true\nrust-version.workspace = true\n\
                        license.workspace = true\npublish.workspace = true\n\n[dependencies]\nserde.workspace = true\n\
                        nix = { workspace = true, features = [\"x\"] }\n\n[lints]\nworkspace = true\n";

    fn file(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn only_the_command_knows_the_libraries() {
        let libraries = ["image", "runtime", "network"].map(|name| package(name, &["serde"]));
        let good: Vec<_> = libraries
            .into_iter()
            .chain([package("mini", &["image", "runtime", "network", "serde"])])
            .collect();
        assert_eq!(complaints(&good, &[]), []);

        for (who, whom) in [("image", "runtime"), ("network", "mini"), ("xtask", "image"), ("tests", "mini")]
        {
            let found = complaints(
                &[package(who, &[whom]), package(whom, &[])],
                &[file(&format!("{who}/Cargo.toml"), GOOD)],
            );
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].to_string(), format!("{who}/Cargo.toml: `{who}` may not depend on `{whom}`"));
        }
    }

    #[test]
    fn a_manifest_takes_everything_from_the_workspace() {
        assert_eq!(complaints(&[], &[file("cli/Cargo.toml", GOOD)]), []);
        for wanted in IN_EVERY_MANIFEST {
            let found = complaints(&[], &[file("cli/Cargo.toml", &GOOD.replace(wanted, "\n"))]);
            assert_eq!(found.len(), 1, "{wanted}");
            assert!(found[0].what.starts_with("does not say"));
        }
        let own = GOOD.replace("serde.workspace = true", "serde = \"1\"");
        assert_eq!(complaints(&[], &[file("cli/Cargo.toml", &own)])[0].line, 10);
        assert_eq!(complaints(&[], &[file("tests/fuzz/Cargo.toml", &own)]), [], "a workspace of its own");
    }
}
