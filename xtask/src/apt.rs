//! Debian's packages that the tasks need: the one list, each with its reason, and how what lacks is installed.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::command::{command, run};

/// A Debian package and why a task needs it.
pub(crate) struct Package {
    pub(crate) name: &'static str,
    pub(crate) why: &'static str,
}

/// What the tests start beside `mini`.
pub(crate) const TESTS: &[Package] = &[
    Package { name: "btrfs-progs", why: "makes a btrfs for the store to lie on" },
    Package { name: "busybox-static", why: "the programs inside the test images" },
    Package { name: "debootstrap", why: "makes the Debian inside which apt and setuid programs are tried" },
    Package { name: "docker-registry", why: "the registry that images are pulled from" },
    Package { name: "docker.io", why: "answers the same command lines, to compare mini's answers with" },
    Package { name: "dpkg-dev", why: "makes the package repository inside that Debian" },
    Package { name: "fish", why: "asks mini what can be typed next" },
    Package { name: "iproute2", why: "makes the hosts of the tests, and looks at their links and routes" },
    Package { name: "libseccomp2", why: "compiles docker's profile too, to compare our filter with" },
    Package { name: "man-db", why: "shows the manual pages, and complains of them" },
    Package { name: "nftables", why: "looks at the packet rules from outside" },
    Package { name: "podman", why: "a peer that takes images and gives them back" },
    Package { name: "procps", why: "ps, to compare mini top with" },
    Package { name: "python3-minimal", why: "steps through programs that the harness tests itself with" },
    Package { name: "skopeo", why: "a peer that reads the store and writes what is loaded" },
    Package { name: "strace", why: "watches what system calls are made" },
    Package { name: "umoci", why: "a peer that unpacks the same images, to compare the files with" },
    Package { name: "xfsprogs", why: "makes an xfs for the store to lie on" },
    Package { name: "zsh", why: "asks mini what can be typed next" },
];

/// mini's peers, and what measuring them takes. Those with daemons are started by the bench alone, in namespaces of its own.
pub(crate) const BENCH: &[Package] = &[
    Package { name: "docker.io", why: "a peer; also fills the registry for mini's pull" },
    Package { name: "podman", why: "a peer" },
    Package { name: "netavark", why: "podman's networks" },
    Package { name: "crun", why: "a peer" },
    Package { name: "runc", why: "a peer" },
    Package { name: "bubblewrap", why: "a peer, near the floor" },
    Package { name: "docker-registry", why: "the registry mini pulls from before its memory is measured" },
    Package { name: "busybox-static", why: "the programs inside the image" },
    Package { name: "iproute2", why: "the floor's bridge" },
    Package { name: "gcc", why: "compiles the floor" },
    Package { name: "libc6-dev", why: "compiles the floor" },
];

/// What measuring pulls takes beside [`BENCH`].
pub(crate) const PULL: &[Package] = &[
    Package { name: "containerd", why: "a peer" },
    Package { name: "curl", why: "fetches the floor's blobs" },
    Package { name: "debootstrap", why: "makes the lowest layer of an image" },
    Package { name: "gzip", why: "compresses layers" },
    Package { name: "isal", why: "inflates the floor's layers" },
    Package { name: "openssl", why: "takes the floor's digests" },
    Package { name: "zstd", why: "compresses layers, and inflates the floor's" },
];

/// What `vm-test` boots a machine with.
pub(crate) const VIRTUAL_MACHINE: &[Package] = &[
    Package { name: "qemu-system-x86", why: "the machine" },
    Package { name: "busybox-static", why: "the programs of its first file system" },
    Package { name: "kmod", why: "knows which kernel modules need which" },
    Package { name: "xz-utils", why: "Debian 12's kernel modules are compressed with it from 6.12 on" },
];

/// What the fuzz targets are built with.
pub(crate) const FUZZ: &[Package] =
    &[Package { name: "g++", why: "libFuzzer is C++, and compiled with the targets" }];

/// Installs what is missing of `packages`, and says what and why.
pub(crate) fn ensure_installed(packages: &[Package]) -> Result<()> {
    let names: Vec<&str> = packages.iter().map(|package| package.name).collect();
    let mut query = command("dpkg-query", ["--show", "--showformat", "${db:Status-Status} ${Package}\\n"]);
    // It fails where it does not know a name, and prints the others all the same.
    let output = query.args(&names).output();
    let output = output
        .with_context(|| format!("asking dpkg for {}: this needs Debian or a relative", names.join(" ")))?;
    let missing = missing(packages, &String::from_utf8_lossy(&output.stdout));
    if missing.is_empty() {
        return Ok(());
    }
    for package in &missing {
        eprintln!("missing: {} ({})", package.name, package.why);
    }
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    ensure!(
        is_root(),
        "installing them needs root: apt-get install --no-install-recommends {}",
        names.join(" ")
    );
    let arguments = ["install", "--yes", "--no-install-recommends"].into_iter().chain(names);
    with_fresh_lists(|| run(without_services(&apt_get(arguments.clone()))))
}

/// Downloads one package's file into `directory` without installing it.
pub(crate) fn download(package: &str, directory: &Path) -> Result<()> {
    with_fresh_lists(|| run(apt_get(["download", package]).current_dir(directory)))
}

/// Does what needs apt's package lists; where it fails, once more with new ones, since old lists name what is gone.
pub(crate) fn with_fresh_lists<T>(act: impl Fn() -> Result<T>) -> Result<T> {
    let first = match act() {
        Err(error) if is_root() => error,
        result => return result,
    };
    eprintln!("{first:#}; trying again with fresh package lists");
    run(apt_get(["update"]))?;
    act()
}

/// Whether we may install packages, make namespaces and cgroups.
pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// `apt-get`, which waits for its lock for five minutes where another one runs.
fn apt_get<'a>(args: impl IntoIterator<Item = &'a str>) -> Command {
    // A download as root needs no user of apt's own, who could not write into a directory of ours.
    let options = ["--option", "DPkg::Lock::Timeout=300", "--option", "APT::Sandbox::User=root", "--quiet"];
    command("apt-get", options.into_iter().chain(args))
}

/// The same command, but no package starts a service: what is installed for a test is started by that test, in namespaces of
/// its own. Packages ask whether /run/systemd/system exists before they start a unit, and invoke-rc.d(8) asks for the
/// run level before it starts an init script; level 1 has none.
fn without_services(apt_get: &Command) -> Command {
    const HIDE_SYSTEMD: &str = "[ ! -d /run/systemd ] || mount -t tmpfs none /run/systemd; exec \"$@\"";
    let mut hidden =
        command("unshare", ["--mount", "--propagation", "private", "sh", "-c", HIDE_SYSTEMD, "sh"]);
    hidden.arg(apt_get.get_program()).args(apt_get.get_args());
    hidden.env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1");
    hidden
}

/// The packages that are not among the installed ones, as dpkg-query(1) lists them: `installed NAME` a line.
fn missing<'a>(packages: &'a [Package], listed: &str) -> Vec<&'a Package> {
    let installed: Vec<&str> = listed.lines().filter_map(|line| line.strip_prefix("installed ")).collect();
    packages.iter().filter(|package| !installed.contains(&package.name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removed_and_unknown_packages_are_missing() {
        let packages = ["here", "removed", "unknown"].map(|name| Package { name, why: "" });
        let missing = missing(&packages, "installed here\nconfig-files removed\n");
        assert_eq!(missing.iter().map(|package| package.name).collect::<Vec<_>>(), ["removed", "unknown"]);
    }
}
