//! The first file system of the machine, in memory: busybox, the kernel modules that the tests need, `vm/init.sh`, the command.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::cpio::Cpio;
use super::kernel::Kernel;
use crate::command::{command, read, run};

const INIT: &str = include_str!("../../vm/init.sh");

/// What is not built into Debian's kernel: the machine's own devices, and what containers are made of.
const MODULES: &[&str] = &[
    "virtio_pci",
    "virtiofs",
    "virtio_blk",
    "virtio_rng",
    "overlay",
    "veth",
    "bridge",
    "br_netfilter",
    "tun",
    "nf_tables",
    "nft_chain_nat",
    "nft_masq",
    "nft_nat",
    "nft_ct",
    "nft_fib_ipv4",
    "nft_fib_inet",
    "nft_redir",
    "nft_reject_inet",
    "nf_conntrack_netlink",
    "loop",
    "ext4",
];

/// The archive that the kernel unpacks; `command` is a shell script.
pub(super) fn make(kernel: &Kernel, command: &str) -> Result<Vec<u8>> {
    let mut archive = Cpio::new();
    for directory in ["bin", "dev", "proc", "sys", "modules.d"] {
        archive.directory(directory);
    }
    archive.file(
        "bin/busybox",
        &fs::read("/bin/busybox").context("reading /bin/busybox, of Debian's busybox-static")?,
    );
    archive.file("init", INIT.as_bytes());
    archive.file("command", command.as_bytes());
    let mut list = String::new();
    for path in module_files(kernel)? {
        let name = format!("modules.d/{}.ko", stem(&path));
        archive.file(&name, &content(&path)?);
        list += &format!("/{name}\n");
    }
    archive.file("modules", list.as_bytes());
    Ok(archive.finish())
}

/// The modules' files, each after those it needs.
fn module_files(kernel: &Kernel) -> Result<Vec<PathBuf>> {
    // The package does not have the index of dependencies: installing it would have made it.
    run(command("depmod", ["--basedir".as_ref(), kernel.root.as_os_str(), kernel.version.as_ref()]))?;
    let mut query =
        command("modprobe", ["--show-depends", "--all", "--set-version", &kernel.version, "--dirname"]);
    let shown = read(query.arg(&kernel.root).args(MODULES))?;
    Ok(in_order(&shown))
}

/// The paths of `insmod PATH …` lines, each once. PURE. Lines that say `builtin NAME` need nothing.
fn in_order(shown: &str) -> Vec<PathBuf> {
    let mut seen = BTreeSet::new();
    let paths = shown.lines().filter_map(|line| line.strip_prefix("insmod ")?.split_whitespace().next());
    paths.filter(|path| seen.insert(*path)).map(PathBuf::from).collect()
}

/// A module's bytes as insmod wants them.
fn content(path: &Path) -> Result<Vec<u8>> {
    if path.extension().is_none_or(|extension| extension != "xz") {
        return fs::read(path).with_context(|| format!("reading {}", path.display()));
    }
    let output = command("xz", ["--decompress".as_ref(), "--stdout".as_ref(), path.as_os_str()]).output();
    let output = output.with_context(|| format!("starting xz for {}", path.display()))?;
    ensure!(output.status.success(), "xz could not decompress {}", path.display());
    Ok(output.stdout)
}

fn stem(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().split('.').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_come_after_what_they_need_and_once() {
        let shown = "insmod /k/llc.ko \ninsmod /k/bridge.ko.xz \nbuiltin virtio\ninsmod /k/llc.ko \ninsmod /k/x.ko a=1\n";
        assert_eq!(in_order(shown), ["/k/llc.ko", "/k/bridge.ko.xz", "/k/x.ko"].map(PathBuf::from));
        assert_eq!(stem(Path::new("/k/bridge.ko.xz")), "bridge");
    }
}
