//! When mini must run from a sealed copy of itself, so that no container can overwrite the host's binary (CVE-2019-5736).
//!
//! A process that enters a container is, for a moment, a file at /proc/PID/exe there. Where container root is host root, or the
//! binary's owner is an id that the container has, that file could be opened for writing. A user namespace without such
//! an id is defence enough, and costs nothing; a re-exec costs half a millisecond.

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStringExt;

use crate::op::{OpError, step};
use crate::plan::IdMap;
use crate::sys;

/// Whether a container with this map could write to a binary of this owner. PURE.
pub fn needs_sealed_copy(user_namespace: bool, uid_map: &[IdMap], owner: u32) -> bool {
    !user_namespace
        || uid_map.iter().any(|line| owner.checked_sub(line.host).is_some_and(|offset| offset < line.size))
}

/// The owner of the binary that this process runs, and whether it is a sealed copy already.
///
/// # Errors
/// Where /proc/self/exe cannot be read.
pub fn running_binary() -> Result<(u32, bool), OpError> {
    let failed = |source| OpError { call: "stat(\"/proc/self/exe\")".to_owned(), source };
    let target = std::fs::read_link("/proc/self/exe").map_err(failed)?;
    let stat = rustix::fs::stat("/proc/self/exe").map_err(|errno| failed(errno.into()))?;
    Ok((stat.st_uid, target.as_os_str().as_encoded_bytes().starts_with(b"/memfd:mini")))
}

/// Executes a sealed copy of this binary with the same arguments and environment; returns only on failure.
///
/// # Errors
/// What memfd_create(2), fcntl(2) or execveat(2) answered.
pub fn execute_sealed_copy(arguments: Vec<OsString>, environment: Vec<(OsString, OsString)>) -> OpError {
    step("Run from a sealed copy of mini: this container's root is the host's, and could overwrite the file");
    let copy = match sys::memory::sealed_copy_of_self() {
        Ok(copy) => copy,
        Err(error) => return error,
    };
    let text = |bytes: Vec<u8>| CString::new(bytes).expect("the kernel passes no NUL in arguments");
    let arguments: Vec<CString> = arguments.into_iter().map(|argument| text(argument.into_vec())).collect();
    let environment: Vec<CString> = environment
        .into_iter()
        .map(|(name, value)| text([name.into_vec(), b"=".to_vec(), value.into_vec()].concat()))
        .collect();
    sys::exec::execute_descriptor(&copy, &arguments, &environment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_needed_exactly_where_the_owner_is_an_id_of_the_container() {
        let line = |container, host, size| IdMap { container, host, size };
        let high = [line(0, 2_147_483_648, 65_536)];
        for (user_namespace, map, owner, needed) in [
            (false, &[][..], 0, true),
            (true, &high[..], 0, false),
            (true, &high[..], 2_147_483_648, true),
            (true, &high[..], 2_147_549_183, true),
            (true, &high[..], 2_147_549_184, false),
            (true, &[line(0, 100_000, 65_536), line(70_000, 1000, 1)][..], 1000, true),
            (true, &[line(0, 0, 1)][..], 0, true),
        ] {
            assert_eq!(
                needs_sealed_copy(user_namespace, map, owner),
                needed,
                "{user_namespace} {map:?} {owner}"
            );
        }
    }
}
