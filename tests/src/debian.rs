//! A minimal Debian, with a package repository inside: for what only a real distribution does (apt, setuid, capabilities).
//!
//! Made once from the machine's own package mirror, then kept: later runs need no network at all.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::Tarball;
use crate::cache::made_once;
use crate::command::Mini;
use crate::image::Image;

/// What the repository holds: a package without scripts, one whose script sets a file capability, and what that needs.
const PACKAGES: [&str; 4] = ["hello", "iputils-ping", "libcap2", "libcap2-bin"];

impl Image {
    /// Debian 12, `minbase`, whose only source of packages is `/repo` inside.
    pub fn debian() -> Self {
        let base = made_once("debian-12-minbase.tar", bootstrap);
        let packages = made_once("debian-12-repository", repository);
        let mut repo = Tarball::new()
            .file("etc/apt/sources.list", 0o644, "deb [trusted=yes] file:/repo ./\n")
            .directory("repo", 0o755);
        for entry in fs::read_dir(packages).expect("the repository was just made").flatten() {
            let name = format!("repo/{}", entry.file_name().to_string_lossy());
            repo = repo.file(&name, 0o644, fs::read(entry.path()).expect("read a package"));
        }
        let mut image = Image::of([repo]).set("Cmd", json!(["bash"]));
        image.layers.insert(0, fs::read(base).expect("the base was just made"));
        image
    }
}

/// A minimal root file system as a tar archive.
fn bootstrap(archive: &Path) {
    let tree = archive.with_extension("tree");
    tool(
        "debootstrap",
        [OsStr::new("--variant=minbase"), OsStr::new("bookworm"), tree.as_os_str()],
        Path::new("/"),
    );
    let arguments = ["--numeric-owner", "--exclude=./dev/*", "--exclude=./proc/*", "--exclude=./sys/*"];
    let arguments =
        arguments.iter().chain(&["--exclude=./var/cache/apt/archives/*.deb", "-cf"]).map(OsStr::new);
    tool("tar", arguments.chain([archive.as_os_str(), OsStr::new(".")]), &tree);
    fs::remove_dir_all(&tree).expect("remove the tree");
}

/// Packages and the list of them.
fn repository(directory: &Path) {
    fs::create_dir_all(directory).expect("make the repository");
    // Old lists, or none, name what the mirror does not have: then once more with fresh ones.
    let download = "apt-get download $0 $@ || { apt-get update && apt-get download $0 $@; }";
    tool("sh", ["-c", download].iter().chain(&PACKAGES), directory);
    let list = tool("dpkg-scanpackages", ["--multiversion", "."], directory);
    fs::write(directory.join("Packages"), list).expect("write the list of packages");
}

fn tool<S: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = S>, directory: &Path) -> String {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(directory);
    Mini::new(command).patient(20).run().ok().text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_debian_with_packages_inside() {
        let image = Image::debian();
        let list = |layer: &Vec<u8>| {
            let mut command = Command::new("tar");
            command.args(["-tvf", "-"]);
            Mini::new(command).stdin(layer.clone()).run().ok().text()
        };
        let base = list(&image.layers[0]);
        assert!(
            base.contains("./usr/bin/apt-get") && base.lines().any(|line| line.starts_with("-rwsr-xr-x")),
            "{base}"
        );
        let repo = list(&image.layers[1]);
        assert!(repo.contains("repo/hello_") && repo.contains("repo/Packages"), "{repo}");
    }
}
