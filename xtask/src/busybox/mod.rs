//! An image of busybox made here, for machines that Docker Hub does not answer: a real one, laid out as the usual
//! `busybox` is, around a static busybox of this machine or of Debian.

mod layer;
mod layout;

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::apt;
use crate::command::{command, read, run};
pub(crate) use layout::architecture;

/// Where a distribution puts its static busybox, in the order of preference.
const PLACES: [&str; 4] =
    ["/bin/busybox", "/usr/bin/busybox", "/usr/local/bin/busybox", "/bin/busybox-static"];

/// Makes the archive below `directory` and returns its path. The same busybox gives the same bytes.
pub(crate) fn archive(directory: &Path) -> Result<PathBuf> {
    fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
    let program = program(directory)?;
    let applets = read(command(&program.to_string_lossy(), ["--list"]))?;
    let bytes = fs::read(&program).with_context(|| format!("reading {}", program.display()))?;
    let modified =
        fs::metadata(&program).with_context(|| format!("looking at {}", program.display()))?.mtime();
    let layer = layer::tar(&bytes, &applets.lines().collect::<Vec<_>>(), modified.unsigned_abs())?;

    let created = read(command("date", ["--utc", &format!("--date=@{modified}"), "+%FT%TZ"]))?;
    let archive = directory.join("busybox.tar");
    let written = layout::archive("busybox:latest", &[&layer], created.trim())?;
    fs::write(&archive, written).with_context(|| format!("writing {}", archive.display()))?;
    Ok(archive)
}

/// An archive with one image of these layers, the lowest first.
pub(crate) fn image(name: &str, layers: &[&[u8]]) -> Result<Vec<u8>> {
    layout::archive(name, layers, "2026-01-01T00:00:00Z").context("writing to memory")
}

/// The one layer of an archive made here, as a tar archive.
pub(crate) fn layer(archive: &Path) -> Result<Vec<u8>> {
    layout::layer(File::open(archive).with_context(|| format!("opening {}", archive.display()))?)
}

/// A static busybox: this machine's own, else the one in Debian's package, which is unpacked here and not installed.
fn program(directory: &Path) -> Result<PathBuf> {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&on_path).map(|place| place.join("busybox"));
    if let Some(found) = PLACES.iter().map(PathBuf::from).chain(on_path).find(|path| is_static(path)) {
        return Ok(found);
    }
    let unpacked = directory.join("debian");
    let wanted = unpacked.join("bin/busybox");
    if !is_static(&wanted) {
        eprintln!("downloading Debian's busybox-static: this machine has no static busybox");
        let download = tempfile::tempdir_in(directory).context("making a directory for the download")?;
        apt::download("busybox-static", download.path())?;
        let package = fs::read_dir(download.path()).context("looking at the download")?.flatten().next();
        let package = package.context("apt-get download left no file")?.path();
        run(command("dpkg-deb", ["--extract".as_ref(), package.as_os_str(), unpacked.as_os_str()]))?;
    }
    if !is_static(&wanted) {
        bail!("Debian's busybox-static has no static program at {}", wanted.display());
    }
    Ok(wanted)
}

/// Whether a file is an ELF program of this machine that needs no dynamic linker.
fn is_static(path: &Path) -> bool {
    fs::read(path).is_ok_and(|bytes| needs_no_interpreter(&bytes))
}

/// elf(5): a 64-bit little-endian program without a program header of type `PT_INTERP`.
fn needs_no_interpreter(elf: &[u8]) -> bool {
    const PT_INTERP: u32 = 3;
    let number = |at: usize, length: usize| -> Option<u64> {
        let bytes = elf.get(at..at.checked_add(length)?)?;
        Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    };
    let headers = || -> Option<bool> {
        let (start, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
        for index in 0..count {
            let at = usize::try_from(start.checked_add(index * size)?).ok()?;
            if number(at, 4)? == u64::from(PT_INTERP) {
                return Some(false);
            }
        }
        Some(count > 0)
    };
    elf.starts_with(b"\x7fELF\x02\x01") && headers().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program with one program header of the given type.
    fn elf(header: u8) -> Vec<u8> {
        let mut elf = b"\x7fELF\x02\x01".to_vec();
        elf.resize(64 + 56, 0);
        (elf[32], elf[54], elf[56], elf[64]) = (64, 56, 1, header);
        elf
    }

    #[test]
    fn a_program_with_an_interpreter_is_not_static() {
        assert!(needs_no_interpreter(&elf(1)));
        assert!(!needs_no_interpreter(&elf(3)));
    }

    #[test]
    fn what_is_no_whole_program_is_not_static() {
        assert!(!needs_no_interpreter(b"#!/bin/sh\n"));
        assert!(!needs_no_interpreter(&elf(1)[..60]));
        assert!(!needs_no_interpreter(&elf(1)[..64]), "its header lies outside the file");
    }
}
