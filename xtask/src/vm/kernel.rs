//! Debian's kernel for virtual machines: downloaded once, unpacked, never installed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::apt;
use crate::command::{command, read, run};

/// An unpacked kernel package.
pub(super) struct Kernel {
    /// What `uname -r` says over there, such as `6.12.117+deb12-cloud-amd64`.
    pub(super) version: String,
    /// The kernel itself.
    pub(super) image: PathBuf,
    /// The root of the package: `lib/modules/VERSION` lies below.
    pub(super) root: PathBuf,
}

/// The kernel of a series (`6.12`), from `cache` or from Debian.
pub(super) fn provide(cache: &Path, series: &str) -> Result<Kernel> {
    let root = cache.join(format!("linux-{series}"));
    if !root.exists() {
        fs::create_dir_all(cache).with_context(|| format!("making {}", cache.display()))?;
        let package = apt::with_fresh_lists(|| package(series))?;
        let draft = tempfile::tempdir_in(cache).context("making a directory for the kernel")?;
        apt::download(&package, draft.path())?;
        let archive = fs::read_dir(draft.path()).context("looking at the download")?.flatten().next();
        let archive = archive.context("apt-get download left no file")?.path();
        let unpacked = draft.path().join("unpacked");
        run(command("dpkg-deb", ["--extract".as_ref(), archive.as_os_str(), unpacked.as_os_str()]))?;
        fs::rename(&unpacked, &root).with_context(|| format!("putting the kernel at {}", root.display()))?;
    }
    let names = fs::read_dir(root.join("lib/modules")).context("looking for the kernel's modules")?.flatten();
    let version = names.map(|entry| entry.file_name().to_string_lossy().into_owned()).next();
    let version = version.context("the kernel's package has no modules")?;
    Ok(Kernel { image: root.join(format!("boot/vmlinuz-{version}")), version, root })
}

/// The package that holds a kernel of the series: the one that a meta package for it depends on.
fn package(series: &str) -> Result<String> {
    for meta in [format!("linux-image-{series}-cloud-amd64"), "linux-image-cloud-amd64".to_owned()] {
        // An unknown name is an error of apt-cache's, and no reason to give up.
        let dependencies = read(command("apt-cache", ["depends", "--important", &meta])).unwrap_or_default();
        if let Some(found) = kernel_of_series(&dependencies, series) {
            return Ok(found.to_owned());
        }
    }
    bail!("apt knows no kernel {series} for virtual machines (linux-image-…-cloud-amd64)")
}

/// Picks `linux-image-SERIES.…` out of what `apt-cache depends` prints. PURE.
fn kernel_of_series<'a>(dependencies: &'a str, series: &str) -> Option<&'a str> {
    let names = dependencies.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    names.into_iter().find(|name| {
        name.strip_prefix("linux-image-").is_some_and(|rest| rest.starts_with(&format!("{series}.")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_of_the_series_asked_for() {
        let depends = "linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-56-cloud-amd64\n";
        assert_eq!(kernel_of_series(depends, "6.1"), Some("linux-image-6.1.0-56-cloud-amd64"));
        assert_eq!(kernel_of_series(depends, "6"), Some("linux-image-6.1.0-56-cloud-amd64"));
        assert_eq!(kernel_of_series(depends, "6.12"), None);
        let later = "linux-image-6.12-cloud-amd64\n  Depends: linux-image-6.12.117+deb12-cloud-amd64\n";
        assert_eq!(kernel_of_series(later, "6.12"), Some("linux-image-6.12.117+deb12-cloud-amd64"));
        assert_eq!(kernel_of_series(later, "6.1"), None, "another series that begins alike");
        assert_eq!(kernel_of_series("", "6.12"), None);
    }
}
