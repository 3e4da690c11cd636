//! What init and the processes of exec share: who they are, what they may do, and how they become their program.
//!
//! The order is the kernel's:
//! - the program's user is looked up in the container's own files, so this comes after the root;
//! - without no_new_privs the filter needs CAP_SYS_ADMIN, so it is loaded before capset (EACCES after), and must let prctl,
//!   capset, umask, close_range and execve pass; with no_new_privs it is loaded last;
//! - every change of ids clears the parent-death signal, so it is set again after the last;
//! - descriptors are closed before the program can see them, and the working directory must lie inside.

use std::ffi::{CString, OsStr};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::process::Resource;

use crate::gate::{Failure, FailureKind};
use crate::op::{OpError, step};
use crate::plan::ProcessPlan;
use crate::seccomp::assemble::{self, Filter};
use crate::seccomp::{self, Machine};
use crate::sys::reap::Memory;
use crate::sys::{self, confined};
use crate::user::{self, User};
use crate::{missing, reaper, rootfs};

/// What a process reads from and writes to.
#[derive(Debug)]
pub(crate) enum Streams {
    /// Standard output, error, input; what is missing at the end is the container's /dev/null.
    Given(Vec<OwnedFd>),
    /// A pseudo-terminal's slave, which becomes the controlling terminal.
    Terminal(OwnedFd),
}

/// Whether a process outlives the one that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// It dies with it: init with its monitor, an exec with its client.
    WithParent,
    /// It goes on: a detached exec.
    OfItsOwn,
}

/// Who the process is, and the filter it will live under: everything that can fail before the point of no return.
#[derive(Debug)]
pub(crate) struct Prepared {
    user: User,
    filter: Option<Filter>,
    /// What need not stay mapped, where this process stays as the container's init.
    memory: Option<Memory>,
}

/// The filter takes time to write and needs nothing of the container: init does it while it waits.
pub(crate) fn assemble_filter(plan: &ProcessPlan) -> Result<Option<Filter>, Failure> {
    plan.seccomp
        .as_ref()
        .map(|profile| assemble::assemble(profile, Machine::NATIVE))
        .transpose()
        .map_err(|error| Failure::new(FailureKind::Other, &error))
}

/// Looks the user up, goes to the working directory, takes the streams.
pub(crate) fn prepare(
    plan: &ProcessPlan,
    root: BorrowedFd<'_>,
    streams: Streams,
    filter: Option<Filter>,
) -> Result<Prepared, Failure> {
    step("Look the user up in the container's own files");
    let passwd = small_file(root, Path::new("/etc/passwd"))?;
    let group = small_file(root, Path::new("/etc/group"))?;
    let mut user = user::resolve(&plan.user, &passwd, &group)
        .map_err(|error| Failure::new(FailureKind::Other, &error))?;
    user::add_groups(&mut user, &plan.groups, &group)
        .map_err(|error| Failure::new(FailureKind::Other, &error))?;

    step("Take the streams, and go to the working directory");
    take_streams(streams, &user, root)?;
    let cwd = confined::make_dirs(root, &plan.cwd).map_err(|error| working_directory(plan, error))?;
    sys::process::change_dir_to(cwd.as_fd(), &plan.cwd).map_err(|error| working_directory(plan, error))?;
    for (resource, soft, hard) in &plan.limits {
        sys::process::set_limit(*resource, *soft, *hard)?;
    }
    sys::process::new_keyring()?;
    sys::signal::reset()?;
    let memory = if plan.reaper { Memory::find() } else { None };
    Ok(Prepared { user, filter, memory })
}

/// Gives up what the program may not have, and becomes it. Returns only the reason why not.
pub(crate) fn become_program(
    plan: &ProcessPlan,
    root: &OwnedFd,
    prepared: &Prepared,
    life: Life,
    keep: BorrowedFd<'_>,
) -> Failure {
    let ready = confine(plan, prepared, life, keep).and_then(|()| match plan.reaper {
        true => reaper::split(plan, prepared.memory.as_ref(), keep),
        false => Ok(()),
    });
    match ready {
        Ok(()) => execute(plan, root.as_fd(), &prepared.user),
        Err(failure) => failure.into(),
    }
}

fn confine(plan: &ProcessPlan, prepared: &Prepared, life: Life, keep: BorrowedFd<'_>) -> Result<(), OpError> {
    let Prepared { user, filter, .. } = prepared;
    step("Give up what the program may not have: system calls, capabilities, ids");
    if let (Some(filter), false) = (filter, plan.no_new_privileges) {
        seccomp::load(filter)?;
    }
    let caps = plan.capabilities;
    sys::process::bound_capabilities(caps.bounding.bits())?;
    if user.uid != 0 {
        sys::process::keep_capabilities(true)?;
    }
    sys::process::become_user(user.uid, user.gid, &user.groups)?;
    let bits =
        [caps.effective, caps.permitted, caps.inheritable, caps.ambient].map(crate::caps::CapSet::bits);
    sys::process::set_capabilities(bits[0], bits[1], bits[2], bits[3])?;
    if life == Life::WithParent {
        sys::process::die_with_parent()?;
    }
    if plan.no_new_privileges {
        sys::process::set_no_new_privileges()?;
        if let Some(filter) = filter {
            seccomp::load(filter)?;
        }
    }
    step("Close every descriptor but the streams, and check where we stand");
    sys::process::assert_inside_root()?;
    sys::process::set_umask(plan.umask);
    use std::os::fd::AsRawFd;
    sys::process::close_descriptors(&[keep.as_raw_fd()], true)
}

/// As execvp(3): a name without a slash is tried in every directory of the container's PATH.
fn execute(plan: &ProcessPlan, root: BorrowedFd<'_>, user: &User) -> Failure {
    step("Become the program");
    let mut environment = plan.env.clone();
    if !environment.iter().any(|variable| variable.starts_with("HOME=") && variable.len() > 5) {
        environment.retain(|variable| !variable.starts_with("HOME="));
        environment.push(format!("HOME={}", user.home.display()));
    }
    let variables: Vec<CString> = environment
        .iter()
        .map(|variable| CString::new(variable.as_bytes()).expect("the plan refuses NUL in variables"))
        .collect();
    let program = &plan.args[0];
    if program.to_bytes().contains(&b'/') {
        let refused = sys::exec::execute(program, &plan.args, &variables);
        return missing::explain(root, program, refused);
    }
    let path = environment.iter().find_map(|variable| variable.strip_prefix("PATH=")).unwrap_or_default();
    let mut refused = None;
    for directory in path.split(':') {
        let directory = if directory.is_empty() { "." } else { directory };
        let candidate = Path::new(directory).join(OsStr::from_bytes(program.to_bytes()));
        let Ok(candidate) = CString::new(candidate.as_os_str().as_bytes()) else { continue };
        let error = sys::exec::execute(&candidate, &plan.args, &variables);
        let there = !matches!(error.errno(), libc::ENOENT | libc::ENOTDIR);
        let exists = || confined::open_path(root, path_of(&candidate), confined::Links::Inside).is_ok();
        if there || exists() {
            refused.get_or_insert((candidate, error));
            if there && refused.as_ref().is_some_and(|(_, first)| first.errno() != libc::EACCES) {
                break;
            }
        }
    }
    match refused {
        Some((candidate, error)) => missing::explain(root, &candidate, error),
        None => missing::not_in_path(program, path),
    }
}

fn path_of(text: &CString) -> &Path {
    Path::new(OsStr::from_bytes(text.as_bytes()))
}

fn take_streams(streams: Streams, user: &User, root: BorrowedFd<'_>) -> Result<(), OpError> {
    match streams {
        Streams::Given(mut streams) => {
            while streams.len() < 3 {
                streams.push(rootfs::open_null(root)?);
            }
            let [output, error, input] = &streams[..] else {
                unreachable!("the gate carries three streams at most");
            };
            if user.uid != 0 {
                // /dev/stdout is opened again by name in many images: its owner must be the one who runs.
                for stream in [output, error, input] {
                    owned_by(stream.as_fd(), user.uid)?;
                }
            }
            sys::process::set_stdio([input.as_fd(), output.as_fd(), error.as_fd()])
        }
        Streams::Terminal(slave) => {
            sys::terminal::make_controlling(slave.as_fd())?;
            if user.uid != 0 {
                owned_by(slave.as_fd(), user.uid)?;
            }
            sys::process::set_stdio([slave.as_fd(); 3])
        }
    }
}

/// /dev/null belongs to nobody who may be changed, and need not.
fn owned_by(stream: BorrowedFd<'_>, uid: u32) -> Result<(), OpError> {
    if confined::is_char_device(stream, 1, 3).unwrap_or(false) {
        return Ok(());
    }
    sys::fs::change_owner(stream, uid, None)
}

fn working_directory(plan: &ProcessPlan, error: OpError) -> Failure {
    let mut failure = Failure::from(error);
    failure.chain.insert(0, format!("working directory {:?}", plan.cwd));
    failure
}

/// A file of the image, read whole if it is a file and at most a megabyte; empty where there is none.
fn small_file(root: BorrowedFd<'_>, path: &Path) -> Result<String, Failure> {
    const LIMIT: u64 = 1 << 20;
    let file = match confined::open_file(root, path) {
        Ok(file) => file,
        Err(error) if matches!(error.errno(), libc::ENOENT | libc::ENOTDIR | libc::ELOOP) => {
            return Ok(String::new());
        }
        // A fifo, a device: whatever an image puts there, it names nobody.
        Err(error) if error.source.kind() == std::io::ErrorKind::InvalidInput => return Ok(String::new()),
        Err(error) => return Err(error.into()),
    };
    let mut bytes = Vec::new();
    std::fs::File::from(file)
        .take(LIMIT)
        .read_to_end(&mut bytes)
        .map_err(|source| OpError { call: format!("read({path:?})"), source })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What a daemon's child would have: nothing of the caller's shell. A hard limit that may not be raised stays.
///
/// The monitor calls it before it clones init, exec's helper before it joins: raising needs a capability of the host's.
///
/// # Errors
/// What setrlimit(2), setpriority(2), sched_setaffinity(2) or personality(2) answered.
pub(crate) fn shed_inherited() -> Result<(), OpError> {
    step("Shed what the caller's shell left on us: limits, nice value, processors, personality");
    let most = |resource, soft, hard| sys::process::set_limit(resource, soft, hard).map(drop);
    for resource in [
        Resource::Cpu,
        Resource::Fsize,
        Resource::Data,
        Resource::Core,
        Resource::Rss,
        Resource::Nproc,
        Resource::As,
        Resource::Locks,
    ] {
        most(resource, None, None)?;
    }
    most(Resource::Stack, Some(8 << 20), None)?;
    most(Resource::Nofile, Some(1 << 20), Some(1 << 20))?;
    most(Resource::Memlock, Some(8 << 20), Some(8 << 20))?;
    most(Resource::Msgqueue, Some(819_200), Some(819_200))?;
    most(Resource::Nice, Some(0), Some(0))?;
    most(Resource::Rtprio, Some(0), Some(0))?;
    sys::process::reset_inherited()
}
