//! Containers that lessons start on the machine itself: by `mini run`, as anybody would, told by its own `--explain`.
//!
//! Their files are this very program, in a file system in memory of a mount namespace that client and monitor have to
//! themselves. They end when their standard input does, and so with the learner, however that ends; `--rm` does the rest.

use std::ffi::CString;
use std::io::Read as _;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use runtime::op::enter_process;
use runtime::record::Status;
use runtime::sys::mount::{self, Attr};
use runtime::sys::{self, exec, ns, pidfd, process, signal, socket, terminal};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::Pid;

use super::Lab;
use super::errand::{make_dir, wait};
use super::keeper::mount as mount_at;
use crate::clock::Moment;
use crate::explain::Line;
use crate::random;

/// What runs in such a container.
const GUEST: &str = "/learn-guest";

/// How long a container may take to start or to end, s.
const PATIENCE: i64 = 30;

/// A container, and the client that stays with it.
#[derive(Debug)]
pub(super) struct Guest {
    name: String,
    client: Pid,
    held: OwnedFd,
    /// Closed, it ends.
    input: OwnedFd,
    /// The container's first process, as the machine numbers it.
    init: i32,
}

/// The life of such a container's program: until its input ends.
pub(crate) fn take_over() {
    if std::env::args_os().next().is_some_and(|name| name == GUEST) {
        let mut nothing = [0u8; 64];
        while std::io::stdin().read(&mut nothing).is_ok_and(|length| length > 0) {}
        process::exit(0)
    }
}

impl Lab {
    /// Where the files of such containers lie, for those who are in their mount namespace: a directory that every machine has,
    /// and that has nothing of mini's in it.
    pub(crate) fn stage(&self) -> PathBuf {
        let free = |place: &&&str| {
            let own = [&self.dirs.root, &self.dirs.run_root];
            Path::new(place).is_dir() && !own.iter().any(|directory| directory.starts_with(place))
        };
        PathBuf::from(["/mnt", "/media", "/srv", "/opt"].iter().find(free).unwrap_or(&"/mnt"))
    }

    /// What a user would type for [`Lab::run`].
    pub(crate) fn run_line(&self, flags: &[&str]) -> String {
        let flags = flags.iter().map(|flag| format!("{flag} ")).collect::<String>();
        format!("mini run -i --rm {flags}--rootfs {} {GUEST}", self.stage().join("rootfs").display())
    }

    /// Starts a container by `mini run` with these flags; `prepare` happens before, in the client's own mount namespace.
    ///
    /// # Errors
    /// What `mini run` said; where it does not start in time.
    pub(crate) fn run(&self, flags: &[&str], prepare: &dyn Fn() -> Result<()>) -> Result<()> {
        self.dismiss()?;
        let name = format!("learn-{}", &random::new_id()?[..8]);
        let (input_read, input) = socket::pipe()?;
        let (story, story_write) = socket::pipe()?;
        process::assert_single_threaded()?;
        let Some(client) = ns::fork()? else {
            drop((input, story));
            enter_process("lab");
            let error = self.become_client(&name, flags, prepare, &input_read, &story_write);
            let _unheard = sys::fs::write_all(story_write.as_fd(), format!("{error:#}\n").as_bytes());
            process::exit(125)
        };
        drop((input_read, story_write));
        let held = pidfd::open(client)?;
        let init = self.await_init(&name, &held, &story);
        *self.guest.borrow_mut() =
            Some(Guest { name, client, held, input, init: *init.as_ref().unwrap_or(&0) });
        init.map(drop)
    }

    fn become_client(
        &self,
        name: &str,
        flags: &[&str],
        prepare: &dyn Fn() -> Result<()>,
        input: &OwnedFd,
        story: &OwnedFd,
    ) -> anyhow::Error {
        let root = self.stage().join("rootfs");
        let prepared = || -> Result<()> {
            process::new_session()?;
            signal::reset()?;
            let program = std::fs::read("/proc/self/exe").context("read(\"/proc/self/exe\")")?;
            ns::unshare_mount()?;
            mount::make_private()?;
            mount_at("tmpfs", &[("mode", "0755")], Attr::MOUNT_ATTR_NODEV, &self.stage())?;
            make_dir(&root)?;
            sys::fs::write_for(&root.join(&GUEST[1..]), &program, 0o755, 0, 0)?;
            prepare()?;
            let null = terminal::open_null()?;
            Ok(process::set_stdio([input.as_fd(), null.as_fd(), story.as_fd()])?)
        };
        if let Err(error) = prepared() {
            return error;
        }
        let text = |text: &str| CString::new(text).unwrap_or_default();
        let path = |path: &Path| path.display().to_string();
        let mut arguments: Vec<CString> =
            ["mini", "--root", &path(&self.dirs.root), "--run-root", &path(&self.dirs.run_root)]
                .into_iter()
                .map(text)
                .collect();
        arguments.extend(["run", "--explain=json", "-i", "--rm", "--name", name].into_iter().map(text));
        arguments.extend(flags.iter().copied().map(text));
        arguments.extend(["--rootfs", &path(&root), GUEST].into_iter().map(text));
        exec::execute(c"/proc/self/exe", &arguments, &[c"PATH=/usr/sbin:/usr/bin:/sbin:/bin".to_owned()])
            .into()
    }

    /// Waits until the container runs, and hears what is told meanwhile.
    fn await_init(&self, name: &str, client: &OwnedFd, story: &OwnedFd) -> Result<i32> {
        let deadline = Moment::deadline(PATIENCE);
        let state = self.dirs.state();
        let mut said = Vec::new();
        loop {
            if self.signals.wait(Some(story.as_fd()), Some(Moment::after(5_000_000)))? {
                let mut buffer = [0u8; 4096];
                let length = rustix::io::read(story, &mut buffer).unwrap_or(0);
                said.extend_from_slice(&buffer[..length]);
                if length > 0 {
                    continue;
                }
            }
            if let Ok(entry) = state.find(name)
                && let (Status::Running { .. }, Some(live)) = (&entry.status, &entry.live)
            {
                self.tell(&said);
                return Ok(live.init.pid);
            }
            if pidfd::has_ended(client.as_fd()) {
                let text = String::from_utf8_lossy(&said);
                let told: Vec<&str> = text.lines().filter(|line| !line.starts_with('{')).collect();
                bail!("mini run: {}", told.join("; "));
            }
            ensure!(
                deadline.is_none_or(|deadline| !deadline.is_past()),
                "mini run did not start a container in {PATIENCE} s"
            );
        }
    }

    /// Keeps what is worth telling of a container's whole story: why, and what makes it what the lesson is about.
    fn tell(&self, said: &[u8]) {
        const TOLD: [&str; 4] = ["clone3", "uid_map", "setns", "execve"];
        let lines =
            said.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Line>(line).ok());
        let worth =
            |line: &Line| line.call.as_ref().is_some_and(|call| TOLD.iter().any(|word| call.contains(word)));
        self.told.borrow_mut().extend(lines.filter(worth));
    }

    /// What containers have told since this was asked last.
    pub(crate) fn told(&self) -> Vec<Line> {
        std::mem::take(&mut *self.told.borrow_mut())
    }

    /// The first process of the container that runs, as the machine numbers it.
    pub(crate) fn guest(&self) -> Option<i32> {
        self.guest.borrow().as_ref().map(|guest| guest.init).filter(|init| *init != 0)
    }

    /// The client that stays with it.
    pub(crate) fn guest_client(&self) -> Option<i32> {
        self.guest.borrow().as_ref().map(|guest| guest.client.as_raw_nonzero().get())
    }

    /// Ends the container, where there is one, and waits until it has been removed.
    pub(super) fn dismiss(&self) -> Result<()> {
        let Some(Guest { name, client, held, input, .. }) = self.guest.borrow_mut().take() else {
            return Ok(());
        };
        drop(input);
        let moment = Timespec { tv_sec: PATIENCE, tv_nsec: 0 };
        let mut polled = [PollFd::new(&held, PollFlags::IN)];
        while rustix::event::poll(&mut polled, Some(&moment)) == Err(rustix::io::Errno::INTR) {}
        ensure!(pidfd::has_ended(held.as_fd()), "container {name} does not end: mini rm -f {name}");
        wait(client)?;
        // Its monitor tidies up after it has told the client: until then it would be found by who looks for leftovers.
        let deadline = Moment::deadline(PATIENCE);
        while self.dirs.state().find(&name).is_ok() && deadline.is_none_or(|deadline| !deadline.is_past()) {
            let pause = Timespec { tv_sec: 0, tv_nsec: 2_000_000 };
            let _interrupted = rustix::thread::nanosleep(&pause);
        }
        Ok(())
    }
}
