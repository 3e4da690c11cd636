//! Making a container, as its monitor does it: `create` → [`Created`], then [`Created::start`] → [`Running`].
//!
//! `start` consumes what `create` returned: a container that was started twice does not compile.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags};
use rustix::process::Pid;

use crate::birth::{self, Joins};
use crate::cgroup::{Cgroup, CgroupError, Layout};
use crate::gate::{self, Failure, Gates, Handover, MonitorEnds};
use crate::op::{OpError, step};
use crate::plan::{InitPlan, MountSource};
use crate::sys::{self, idmapped, ns};
use crate::{devices, foreign, idmap, init, layers, process, secrets};

/// A container that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// An operation of the monitor failed.
    #[error(transparent)]
    Op(#[from] OpError),
    /// The control groups cannot be made as asked.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// Init failed.
    #[error(transparent)]
    Init(#[from] Failure),
    /// A layer lies on a file system whose ids cannot be shifted.
    #[error("cannot show {} with the container's ids", path.display())]
    NotIdmappable {
        /// The layer.
        path: PathBuf,
        /// What the kernel said.
        source: OpError,
    },
}

/// The monitor's ends of the container's standard streams.
#[derive(Debug)]
pub enum Stdio {
    /// Three streams, each a pipe; without input, the container reads /dev/null.
    Pipes {
        /// Where the monitor writes what the container reads.
        input: Option<OwnedFd>,
        /// Where the monitor reads standard output.
        output: OwnedFd,
        /// Where the monitor reads standard error.
        error: OwnedFd,
    },
    /// The master of a pseudo-terminal.
    Terminal(OwnedFd),
    /// Nobody listens.
    None,
}

/// A container whose init waits for `start`.
#[derive(Debug)]
pub struct Created {
    pid: Pid,
    pidfd: OwnedFd,
    start: OwnedFd,
    report: OwnedFd,
    stdio: Stdio,
}

/// A container whose program runs.
#[derive(Debug)]
pub struct Running {
    /// Init, as the monitor's pid namespace numbers it.
    pub pid: Pid,
    /// Init.
    pub pidfd: OwnedFd,
    /// Its streams.
    pub stdio: Stdio,
}

/// Init, born but not yet a container: what must be written down before anything else, so that it can be found.
#[derive(Debug)]
pub struct Born {
    pid: Pid,
    pidfd: OwnedFd,
    ends: MonitorEnds,
}

/// Makes the container's groups and its first process, in all its namespaces at once.
///
/// # Errors
/// See [`CreateError`]. What was made in the kernel dies with this process, but for the groups: `Layout::remove`.
pub fn clone_init(plan: &InitPlan, joins: &Joins, layout: &Layout) -> Result<Born, CreateError> {
    sys::process::assert_single_threaded()?;
    process::shed_inherited()?;
    sys::process::set_umask(0);
    let cgroup = Cgroup::create(layout, &plan.cgroup)?;
    let Gates { monitor, init } = Gates::new()?;
    step("Let nothing of the container look into us, nor into our copy");
    sys::process::hide_memory()?;
    if plan.is_born_elsewhere() {
        let told = birth::Told::new()?;
        let Some(helper) = birth::send_ahead()? else {
            drop(monitor); // or our own copy of its ends would hide its death from us
            birth::go(plan, joins, &cgroup, told, &init);
            init::run(plan, joins, layout, &cgroup, &init)
        };
        drop(init); // or our own copy of its ends would hide its death from us
        let (pid, pidfd) = birth::await_sibling(helper, told, &monitor)?;
        return Ok(Born { pid, pidfd, ends: monitor });
    }
    step("Make the container's first process, in all its namespaces at once");
    match ns::clone3(plan.namespaces, cgroup.birthplace())? {
        ns::Cloned::Child => {
            drop(monitor); // as above
            init::run(plan, joins, layout, &cgroup, &init)
        }
        ns::Cloned::Parent { pid, pidfd } => Ok(Born { pid, pidfd, ends: monitor }),
    }
}

impl Born {
    /// Init, as this process's pid namespace numbers it.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Does for init what it may not do itself: ids, layers, /dev, streams, binds; then opens the first gate.
    ///
    /// # Errors
    /// See [`CreateError`]; init ends with this process or when the gate is dropped.
    pub fn furnish(self, plan: &InitPlan, joins: &Joins, input: bool) -> Result<Created, CreateError> {
        let made = match plan.namespaces.contains(ns::Kinds::USER) {
            true => Some(idmap::write_maps(self.pid, &plan.uid_map, &plan.gid_map)?),
            false => None,
        };
        if let Some(adjustment) = plan.process.oom_score_adj {
            sys::control::write_control(&self.proc("oom_score_adj"), &adjustment.to_string())?;
        }
        let userns = made.as_ref().map(AsFd::as_fd).or_else(|| joins.of(ns::Kinds::USER));
        let root =
            layers::stack(&plan.root, userns, plan.root_ids()).map_err(|error| explain(plan, error))?;
        let dev = plan.mounts.iter().find(|mount| matches!(mount.source, MountSource::Dev { .. }));
        let dev = dev.map(|mount| devices::build(mount, plan)).transpose()?;
        let (streams, stdio) = match plan.process.terminal {
            true => (Vec::new(), None),
            false => pipes(plan.root_ids(), input).map(|(streams, stdio)| (streams, Some(stdio)))?,
        };
        let binds = binds(plan, joins, userns)?;
        let secrets = if plan.secrets.is_empty() { None } else { Some(secrets::build(plan)?) };
        let handover = Handover { root, dev, secrets, streams, binds };
        step("Open the first gate: hand init its root, its /dev, its streams");
        handover.send(self.ends.gate.as_fd()).map_err(|error| self.reason(error))?;
        drop(handover);
        let stdio = match stdio {
            Some(stdio) => stdio,
            None => Stdio::Terminal(self.terminal()?),
        };
        let MonitorEnds { gate: _gate, start, report } = self.ends;
        Ok(Created { pid: self.pid, pidfd: self.pidfd, start, report, stdio })
    }

    fn proc(&self, file: &str) -> PathBuf {
        format!("/proc/{}/{file}", self.pid.as_raw_nonzero()).into()
    }

    /// Init sends its terminal's master once its devpts is mounted.
    fn terminal(&self) -> Result<OwnedFd, CreateError> {
        let mut word = [0u8; 1];
        let (_, mut descriptors) = sys::socket::receive(self.ends.gate.as_fd(), &mut word)?;
        match descriptors.pop() {
            Some(master) => Ok(master),
            None => Err(self.reason(OpError {
                call: "recvmsg(terminal)".to_owned(),
                source: std::io::ErrorKind::UnexpectedEof.into(),
            })),
        }
    }

    /// Where init has died, its own report says why; ours would only say that the gate is broken.
    fn reason(&self, ours: OpError) -> CreateError {
        match gate::read_report(&self.ends.report) {
            Err(failure) => failure.into(),
            Ok(()) => ours.into(),
        }
    }
}

impl Created {
    /// Init, as this process's pid namespace numbers it.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Init.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// The master of the container's terminal, where it has one.
    pub fn terminal(&self) -> Option<BorrowedFd<'_>> {
        match &self.stdio {
            Stdio::Terminal(master) => Some(master.as_fd()),
            Stdio::Pipes { .. } | Stdio::None => None,
        }
    }

    /// The container's network namespace.
    ///
    /// # Errors
    /// What open(2) answered.
    pub fn netns(&self) -> Result<OwnedFd, OpError> {
        sys::control::open_namespace(self.pid, "net")
    }

    /// Why something failed that needed init: where init has ended, its own report says it better than `ours`.
    pub fn reason(&self, ours: Failure) -> Failure {
        // A process that is ending loses its namespaces before it can be seen to have ended: 100 ms are enough for that.
        let moment = rustix::event::Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        let mut ended = [PollFd::new(&self.pidfd, PollFlags::IN)];
        if rustix::event::poll(&mut ended, Some(&moment)) != Ok(1) {
            return ours;
        }
        gate::read_report(&self.report).err().unwrap_or(ours)
    }

    /// Opens the second gate, and returns when the program runs.
    ///
    /// # Errors
    /// Init's whole chain of reasons.
    pub fn start(self) -> Result<Running, Failure> {
        step("Open the second gate: the container may become its program");
        // Where init has died already, its report says why.
        let opened = sys::control::write_open_control(self.start.as_fd(), "s", std::path::Path::new("start"));
        gate::read_report(&self.report)?;
        opened?;
        Ok(Running { pid: self.pid, pidfd: self.pidfd, stdio: self.stdio })
    }
}

/// Pipes that belong to the container's root: its processes may open them again by name (`/dev/stdout`).
pub(crate) fn pipes(root_ids: (u32, u32), input: bool) -> Result<(Vec<OwnedFd>, Stdio), OpError> {
    step("Make the container's standard streams");
    idmapped::as_container_root(root_ids.0, root_ids.1, || {
        let (output, out_write) = sys::socket::pipe()?;
        let (error, error_write) = sys::socket::pipe()?;
        let mut streams = vec![out_write, error_write];
        let mut stdio_input = None;
        if input {
            let (in_read, in_write) = sys::socket::pipe()?;
            streams.push(in_read);
            stdio_input = Some(in_write);
        }
        Ok((streams, Stdio::Pipes { input: stdio_input, output, error }))
    })
}

fn binds(
    plan: &InitPlan,
    joins: &Joins,
    userns: Option<BorrowedFd<'_>>,
) -> Result<Vec<layers::Tree>, CreateError> {
    let mut trees = Vec::new();
    for mount in &plan.mounts {
        match (&mount.source, &joins.mounts) {
            (MountSource::Bind { source, beneath, recursive, idmap }, _) => {
                let userns = userns.filter(|_| *idmap);
                trees.push(match beneath {
                    Some(beneath) => layers::bind_beneath(source, beneath, userns)?,
                    None => layers::bind(source, *recursive, userns)?,
                });
            }
            (MountSource::Foreign { place }, Some(mounts)) => {
                trees.push(vec![(PathBuf::new(), foreign::clone_tmpfs(mounts.as_fd(), place)?)]);
            }
            (MountSource::Foreign { place }, None) => {
                let source = std::io::Error::new(std::io::ErrorKind::NotFound, "nobody has opened it");
                return Err(OpError { call: format!("open_tree({place:?})"), source }.into());
            }
            _ => {}
        }
    }
    Ok(trees)
}

/// An idmap that the file system refuses is the one failure with a remedy of its own.
fn explain(plan: &InitPlan, error: OpError) -> CreateError {
    let refused = error.errno() == libc::EINVAL && error.call.contains("IDMAP");
    match plan.root.layers.first() {
        Some(path) if refused => CreateError::NotIdmappable { path: path.clone(), source: error },
        _ => error.into(),
    }
}
