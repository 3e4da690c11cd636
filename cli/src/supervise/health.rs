//! Health checks: now and again a program in the container, as exec would run it, and what is made of its exit code.
//!
//! The loop waits for what a check writes and for its end, as for everything else ([`super::pump`]).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context as _, Result};
use oci_spec::runtime::Spec;
use runtime::cgroup::{Cgroup, Layout};
use runtime::create::{Running, Stdio};
use runtime::join::{World, join};
use runtime::plan::IdMap;
use runtime::sys::pidfd::{self, Ending};
use rustix::event::PollFlags;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::Words;
use crate::clock::{self, Moment};
use crate::health::{CheckResult, Health, OUTPUT};
use crate::plan::health::HealthPlan;
use crate::settings::Settings;

/// A container's health, as its monitor watches it.
pub(super) struct Watch<'a> {
    words: &'a Words,
    plan: &'a HealthPlan,
    known: Known,
    check: Option<Check>,
}

/// What a fresh process must know of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Known {
    health: Health,
    /// When the container was started.
    began: Moment,
    /// When the next check begins.
    next: Moment,
}

/// A check that is going on.
struct Check {
    pidfd: OwnedFd,
    pid: i32,
    outputs: [Option<OwnedFd>; 2],
    said: Vec<u8>,
    start: u64,
    age: u64,
    /// When it has taken too long.
    deadline: Moment,
    too_long: bool,
}

/// What happened to a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CheckEvent {
    /// It has written, to the first or the second of its streams.
    Said(usize),
    /// It has ended.
    Ended,
}

impl<'a> Watch<'a> {
    /// Of a container that was started just now; `None` where nothing is to be checked.
    pub(super) fn begin(words: &'a Words) -> Option<Watch<'a>> {
        let plan = words.health.as_ref()?;
        let health = Health::default();
        let began = Moment::now();
        let next = Moment::after(health.interval(plan, 0));
        let watch = Watch { words, plan, known: Known { health, began, next }, check: None };
        watch.save();
        Some(watch)
    }

    /// In a fresh process.
    pub(super) fn resume(words: &'a Words, known: Option<&Known>) -> Option<Watch<'a>> {
        Some(Watch { words, plan: words.health.as_ref()?, known: known?.clone(), check: None })
    }

    pub(super) fn known(&self) -> Known {
        self.known.clone()
    }

    pub(super) fn is_checking(&self) -> bool {
        self.check.is_some()
    }

    /// When something must be done: a check begun, or given up.
    pub(super) fn timer(&self) -> Option<Moment> {
        match &self.check {
            None => Some(self.known.next),
            Some(check) if !check.too_long => Some(check.deadline),
            Some(_) => None,
        }
    }

    /// What is waited for.
    pub(super) fn awaited(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags, CheckEvent)> {
        self.check.iter().flat_map(|check| {
            let outputs = check.outputs.iter().enumerate();
            let outputs = outputs.filter_map(|(index, fd)| Some((fd.as_ref()?, CheckEvent::Said(index))));
            outputs
                .chain([(&check.pidfd, CheckEvent::Ended)])
                .map(|(fd, event)| (fd.as_fd(), PollFlags::IN, event))
        })
    }

    /// A moment has come; `init` is the container's first process.
    pub(super) fn tick(&mut self, init: BorrowedFd<'_>, pid: i32) {
        if !self.timer().is_some_and(Moment::is_past) {
            return;
        }
        if let Some(check) = &mut self.check {
            check.too_long = true;
            // One that has ended meanwhile is told by its end.
            let _ended = pidfd::send_signal(check.pidfd.as_fd(), check.pid, libc::SIGKILL);
            return;
        }
        if Layout::detect().is_ok_and(|layout| layout.is_frozen(&self.words.cgroup)) {
            // docker's rule: what is paused is not asked how it does.
            self.known.next = Moment::after(self.plan.interval);
            return;
        }
        let (start, age) = (clock::now(), self.known.began.ago());
        match self.start(init, pid) {
            Ok(running) => self.check = Some(Check::new(running, start, age, self.plan.timeout)),
            Err(error) => self.take(start, age, -1, crate::error::text(&error)),
        }
    }

    /// Something has happened to the check.
    pub(super) fn hear(&mut self, event: CheckEvent) {
        let Some(check) = &mut self.check else { return };
        match event {
            CheckEvent::Said(index) => drop(check.read(index)),
            CheckEvent::Ended => {
                let Some(check) = self.check.take() else { return };
                let (start, age) = (check.start, check.age);
                let (code, output) = check.end(self.plan.timeout);
                self.take(start, age, code, output);
            }
        }
    }

    /// The container has ended: a check dies with it. What was known last is kept with the container.
    pub(super) fn finish(&mut self) {
        if let Some(check) = self.check.take() {
            let _reaped = pidfd::wait(check.pidfd.as_fd());
        }
        if !self.words.record.auto_remove {
            let _unknown = self.known.health.save(&self.words.dirs.disk);
        }
    }

    /// As `mini exec` starts a program, as a child of ours.
    fn start(&self, init: BorrowedFd<'_>, pid: i32) -> Result<Running> {
        let Words { context, record, .. } = self.words;
        let entry = context.state().load(&record.id)?.context("its record is gone")?;
        let spec: Spec =
            serde_json::from_slice(&entry.config()?).context("the container's config is damaged")?;
        let mut process = spec.process().clone().context("the container's config has no process")?;
        process.set_args(Some(self.plan.args.clone())).set_terminal(Some(false));
        let seccomp = spec.linux().as_ref().and_then(|linux| linux.seccomp().clone());
        let mut plan = runtime::plan::plan_process(&process, seccomp)?;
        if let Some(request) = Settings::of(&entry.record).request {
            plan.groups = request.options.security.groups;
        }
        let (namespaces, uid_map, gid_map) = runtime::plan::world_of(&spec);
        let root = |map: &[IdMap]| map.iter().find(|line| line.container == 0).map_or(0, |line| line.host);
        let cgroup = Cgroup::of_process(pid)?;
        let world = World { init, namespaces, cgroup: &cgroup, root_ids: (root(&uid_map), root(&gid_map)) };
        Ok(join(&world, &plan, false, false)?)
    }

    fn take(&mut self, start: u64, age: u64, exit_code: i32, output: String) {
        let time = clock::rfc3339_nano;
        let result = CheckResult { start: time(start), end: time(clock::now()), exit_code, output };
        if self.known.health.judge(self.plan, result, age) {
            let action = format!("health_status: {}", self.known.health.status.word());
            self.words.context.happened(&action, &self.words.record);
        }
        self.known.next = Moment::after(self.known.health.interval(self.plan, self.known.began.ago()));
        self.save();
    }

    fn save(&self) {
        // What cannot be written down is not known to others; the container goes on.
        let _unknown = self.known.health.save(&self.words.dirs.run);
    }
}

impl Check {
    fn new(running: Running, start: u64, age: u64, timeout: u64) -> Check {
        let outputs = match running.stdio {
            Stdio::Pipes { output, error, .. } => [Some(output), Some(error)],
            Stdio::Terminal(_) | Stdio::None => [None, None],
        };
        for output in outputs.iter().flatten() {
            let _blocking = rustix::io::ioctl_fionbio(output, true);
        }
        Check {
            pidfd: running.pidfd,
            pid: running.pid.as_raw_nonzero().get(),
            outputs,
            said: Vec::new(),
            start,
            age,
            deadline: Moment::after(timeout),
            too_long: false,
        }
    }

    /// Takes what it has written; false at the end, or where nothing is there now.
    fn read(&mut self, index: usize) -> bool {
        let Some(output) = &self.outputs[index] else { return false };
        let mut portion = [0u8; 4096];
        match rustix::io::read(output, &mut portion) {
            Ok(length) if length > 0 => {
                // One byte more than is kept says that there was more.
                let room = (OUTPUT + 1).saturating_sub(self.said.len());
                self.said.extend_from_slice(&portion[..length.min(room)]);
                true
            }
            Err(Errno::AGAIN | Errno::INTR) => false,
            Ok(_) | Err(_) => {
                self.outputs[index] = None;
                false
            }
        }
    }

    /// Its exit code and what it said; what it started and left running is not waited for.
    fn end(mut self, timeout: u64) -> (i32, String) {
        let ending = pidfd::wait(self.pidfd.as_fd()).unwrap_or(Ending::Signaled(libc::SIGKILL));
        for index in 0..2 {
            while self.read(index) && self.said.len() <= OUTPUT {}
        }
        let mut text = String::from_utf8_lossy(&self.said[..self.said.len().min(OUTPUT)]).into_owned();
        if self.said.len() > OUTPUT {
            text += "...";
        }
        if self.too_long {
            let seconds = timeout as f64 / 1e9;
            return (
                -1,
                format!(
                    "Health check exceeded timeout ({seconds}s){}{text}",
                    if text.is_empty() { "" } else { ": " }
                ),
            );
        }
        (ending.code(), text)
    }
}
