//! Which file is missing, when execve(2) says only "no such file": the program, its `#!` interpreter, its ELF loader; or that
//! it is made for another machine.

use std::ffi::{CStr, OsStr};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::gate::{Failure, FailureKind};
use crate::op::OpError;
use crate::sys::confined;

/// Explains why `program` inside `root` was not executed.
pub(crate) fn explain(root: BorrowedFd<'_>, program: &CStr, refused: OpError) -> Failure {
    let path = Path::new(OsStr::from_bytes(program.to_bytes()));
    let head = read_head(root, path);
    let errno = refused.errno();
    let reason = match (errno, head.as_deref()) {
        (libc::ENOENT, None) => format!("{}: no such file in the container", path.display()),
        (libc::ENOENT, Some(head)) => match needed(head) {
            Some(Needed::Interpreter(name)) => {
                let carriage_return =
                    if name.ends_with('\r') { " (the line ends with a carriage return)" } else { "" };
                format!(
                    "{}: its interpreter {:?}, named in its first line, is not in the container{carriage_return}",
                    path.display(),
                    name.trim_end_matches('\r')
                )
            }
            Some(Needed::Loader(name)) => {
                format!(
                    "{}: its loader {name:?}, named in its ELF header, is not in the container",
                    path.display()
                )
            }
            None => format!("{}: a file that it needs is not in the container", path.display()),
        },
        (libc::ENOEXEC, Some(head)) => match machine(head) {
            Some(machine) if machine != NATIVE => {
                format!("{}: made for {machine}, this machine is {NATIVE}", path.display())
            }
            Some(_) => format!("{}: an ELF file that this kernel cannot execute", path.display()),
            None => format!("{}: neither an ELF program nor a script with a \"#!\" line", path.display()),
        },
        (libc::EACCES, _) if is_directory(root, path) => format!("{}: is a directory", path.display()),
        (libc::EACCES, _) => format!("{}: not executable for this user (permission denied)", path.display()),
        _ => format!("{}: {}", path.display(), refused.source),
    };
    let kind = match errno {
        libc::ENOENT | libc::ENOTDIR => FailureKind::NotFound,
        _ => FailureKind::NotExecutable,
    };
    Failure::said(kind, vec![reason, refused.call, refused.source.to_string()])
}

/// Explains that no directory of PATH has `program`.
pub(crate) fn not_in_path(program: &CStr, path: &str) -> Failure {
    let program = program.to_string_lossy();
    Failure::said(
        FailureKind::NotFound,
        vec![format!("{program:?}: executable file not found in $PATH"), format!("PATH is {path:?}")],
    )
}

enum Needed {
    Interpreter(String),
    Loader(String),
}

fn read_head(root: BorrowedFd<'_>, path: &Path) -> Option<Vec<u8>> {
    let file = confined::open_file(root, path).ok()?;
    let mut head = vec![0u8; 4096];
    let length = rustix::io::pread(&file, &mut head, 0).ok()?;
    head.truncate(length);
    Some(head)
}

fn is_directory(root: BorrowedFd<'_>, path: &Path) -> bool {
    confined::open_path(root, path, confined::Links::Inside)
        .is_ok_and(|found| crate::sys::fs::is_directory(std::os::fd::AsFd::as_fd(&found)).unwrap_or(false))
}

/// The file that a program's first bytes name. PURE.
fn needed(head: &[u8]) -> Option<Needed> {
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = line.split(|byte| *byte == b'\n').next()?;
        let text = String::from_utf8_lossy(line);
        let name = text.trim_start_matches([' ', '\t']).split([' ', '\t']).next()?.to_owned();
        return Some(Needed::Interpreter(name));
    }
    loader(head).map(Needed::Loader)
}

/// PT_INTERP of a 64-bit little-endian ELF file (elf(5)), where it lies in the first bytes, as linkers place it.
fn loader(head: &[u8]) -> Option<String> {
    const PT_INTERP: u32 = 3;
    if !head.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let at = |offset: usize, size: usize| head.get(offset..offset.checked_add(size)?);
    let u16_at = |offset| at(offset, 2).map(|b| u16::from_le_bytes([b[0], b[1]]));
    let u32_at = |offset| at(offset, 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let usize_at = |offset| {
        at(offset, 8)
            .and_then(|b| usize::try_from(u64::from_le_bytes(b.try_into().expect("eight bytes"))).ok())
    };
    let (headers, size, count) = (usize_at(32)?, usize::from(u16_at(54)?), usize::from(u16_at(56)?));
    for index in 0..count {
        let header = headers.checked_add(index.checked_mul(size)?)?;
        if u32_at(header)? == PT_INTERP {
            let (offset, length) = (usize_at(header.checked_add(8)?)?, usize_at(header.checked_add(32)?)?);
            let name = at(offset, length)?.split(|byte| *byte == 0).next()?;
            return Some(String::from_utf8_lossy(name).into_owned());
        }
    }
    None
}

/// What docker calls this machine.
const NATIVE: &str = if cfg!(target_arch = "x86_64") {
    "amd64"
} else if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    "another architecture"
};

/// The architecture of an ELF file, by docker's names (e_machine, elf(5)). PURE.
fn machine(head: &[u8]) -> Option<&'static str> {
    if !head.starts_with(b"\x7fELF") || head.len() < 20 {
        return None;
    }
    Some(match (head[18], head[4]) {
        (3, _) => "386",
        (20 | 21, _) => "ppc64le",
        (22, _) => "s390x",
        (40, _) => "arm",
        (62, _) => "amd64",
        (183, _) => "arm64",
        (243, _) => "riscv64",
        _ => "another architecture",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_names_an_interpreter() {
        for (head, expected) in [
            (&b"#!/bin/sh\necho"[..], Some("/bin/sh")),
            (b"#! /usr/bin/env python3\n", Some("/usr/bin/env")),
            (b"#!/bin/bash\r\n", Some("/bin/bash\r")),
            (b"echo", None),
        ] {
            let found = match needed(head) {
                Some(Needed::Interpreter(name)) => Some(name),
                _ => None,
            };
            assert_eq!(found.as_deref(), expected);
        }
    }

    #[test]
    fn the_loader_of_this_very_program_is_found_and_garbage_is_survived() {
        let own = std::fs::read("/proc/self/exe").unwrap();
        let head = &own[..4096];
        assert_eq!(machine(head), Some(NATIVE));
        if let Some(name) = loader(head) {
            assert!(Path::new(&name).exists(), "{name}");
        }
        let mut broken = head.to_vec();
        broken[32..40].fill(0xff);
        assert!(loader(&broken).is_none());
        assert!(loader(&head[..60]).is_none());
    }
}
