//! The rules for the checkout as a whole: its top level, the list of forbidden calls, the list of expected skips. PURE.

use std::collections::BTreeSet;

use super::{Complaint, File};

/// The top level, which is fixed: what must be there.
const TOP_LEVEL: &[&str] = &[
    "Cargo.toml",
    "cli",
    "image",
    "runtime",
    "network",
    "tests",
    "xtask",
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "DIFFERENCES.md",
    "SECURITY.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    "Cargo.lock",
    ".cargo",
    ".ci",
    ".clippy.toml",
    ".config",
    ".gitignore",
    ".rustfmt.toml",
];

/// Calls that `.clippy.toml` must go on forbidding. The list there is longer; these are the ones that nothing may lose.
const FORBIDDEN_CALLS: &[&str] = &[
    "libc::syscall",
    "std::fs::write",
    "std::fs::File::create",
    "std::fs::OpenOptions::open",
    "std::fs::rename",
    "std::fs::remove_file",
    "std::fs::remove_dir_all",
    "std::fs::create_dir_all",
    "std::fs::set_permissions",
    "std::os::unix::fs::symlink",
    "std::os::unix::fs::chown",
    "std::process::Command::new",
    "std::thread::spawn",
    "std::net::ToSocketAddrs::to_socket_addrs",
    "nix::unistd::User::from_name",
    "nix::unistd::Group::from_name",
    "nix::unistd::initgroups",
    "nix::unistd::fork",
    "nix::unistd::execve",
    "nix::sched::unshare",
    "nix::sched::setns",
    "nix::sys::signal::kill",
    "rustix::mount::mount",
    "rustix::mount::move_mount",
    "rustix::mount::unmount",
];

/// Everything that is wrong with the checkout.
pub(super) fn complaints(files: &[File]) -> Vec<Complaint> {
    let mut found = top_level(files);
    found.extend(clippy_list(text(files, ".clippy.toml")));
    found.extend(expected_skips(text(files, SKIPS), files));
    found
}

fn top_level(files: &[File]) -> Vec<Complaint> {
    let present: BTreeSet<&str> =
        files.iter().map(|file| file.path.split('/').next().unwrap_or(&file.path)).collect();
    let missing = TOP_LEVEL
        .iter()
        .filter(|name| !present.contains(*name))
        .map(|name| (*name, "is missing at the top level"));
    let foreign = present
        .iter()
        .filter(|name| !TOP_LEVEL.contains(name))
        .map(|name| (*name, "does not belong at the top level"));
    missing.chain(foreign).map(|(path, what)| complaint(path, 0, what)).collect()
}

fn clippy_list(text: &str) -> Vec<Complaint> {
    let missing = FORBIDDEN_CALLS.iter().filter(|call| !text.contains(&format!("path = \"{call}\"")));
    missing.map(|call| complaint(".clippy.toml", 0, &format!("no longer forbids `{call}`"))).collect()
}

const SKIPS: &str = "tests/expected-skips.txt";

/// Each line names a test, `module::name`, that may say that it cannot run here: a test that exists.
fn expected_skips(list: &str, files: &[File]) -> Vec<Complaint> {
    let mut found = Vec::new();
    for (index, name) in
        list.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
    {
        let exists = name.rsplit_once("::").is_some_and(|(modules, function)| {
            let module = format!("tests/e2e/{}", modules.replace("::", "/"));
            let of_module =
                |file: &&File| file.path == format!("{module}.rs") || file.path == format!("{module}/mod.rs");
            files.iter().find(of_module).is_some_and(|file| file.text.contains(&format!("fn {function}(")))
        });
        if !exists {
            found.push(complaint(SKIPS, index + 1, &format!("there is no test `{name}`")));
        }
    }
    found
}

/// A file's text; one that is missing is empty, and the rule for the top level complains.
fn text<'a>(files: &'a [File], path: &str) -> &'a str {
    files.iter().find(|file| file.path == path).map_or("", |file| &file.text)
}

fn complaint(path: &str, line: usize, what: &str) -> Complaint {
    Complaint { path: path.to_owned(), line, what: what.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: text.to_owned() }
    }

    fn shown(complaints: &[Complaint]) -> Vec<String> {
        complaints.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_top_level_is_what_it_is() {
        let mut files: Vec<File> = TOP_LEVEL.iter().map(|name| file(&format!("{name}/x"), "")).collect();
        assert_eq!(top_level(&files), []);
        files.push(file("common/src/lib.rs", ""));
        files.retain(|file| !file.path.starts_with("SECURITY.md"));
        assert_eq!(
            shown(&top_level(&files)),
            ["SECURITY.md: is missing at the top level", "common: does not belong at the top level"]
        );
    }

    #[test]
    fn the_list_of_forbidden_calls_loses_none() {
        let list: String = FORBIDDEN_CALLS
            .iter()
            .map(|call| format!("  {{ path = \"{call}\", reason = \"x\" }},\n"))
            .collect();
        assert_eq!(clippy_list(&list), []);
        let found = clippy_list(&list.replace("\"libc::syscall\"", "\"libc::sys\""));
        assert_eq!(shown(&found), [".clippy.toml: no longer forbids `libc::syscall`"]);
    }

    #[test]
    fn only_tests_that_exist_are_expected_to_skip() {
        let files = [
            file("tests/e2e/cgroup.rs", "#[test]\nfn v2_only() {}\n"),
            file("tests/e2e/a/mod.rs", "fn b() {}\n"),
        ];
        assert_eq!(expected_skips("# why\n\ncgroup::v2_only\na::b\n", &files), []);
        let found = expected_skips("cgroup::v2\nv2_only\n", &files);
        assert_eq!(
            shown(&found),
            [
                format!("{SKIPS}:1: there is no test `cgroup::v2`"),
                format!("{SKIPS}:2: there is no test `v2_only`")
            ]
        );
    }
}
