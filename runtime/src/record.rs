//! What is written down of a container, and what it is worth: the kernel is the truth, a record only a hint.
//!
//! Two files, each in this one form, each with a version. The record says what the container is and how its last run ended;
//! it lasts as long as the container. `live.json` says which processes are running now; it lies in the run directory and is
//! gone after a reboot, on purpose.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The version of both files; a newer one is refused, so that nothing is lost by an older mini.
pub const VERSION: u32 = 1;

/// JSON that others read: kept as it is written, and read only where somebody asks for a part of it. It is most of a record, and who
/// lists a thousand containers reads a thousand records.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Opaque(Box<RawValue>);

impl Opaque {
    /// Writes it.
    ///
    /// # Panics
    /// For what cannot be written as JSON, such as a map whose keys are no text.
    pub fn of(value: &impl Serialize) -> Opaque {
        Opaque(serde_json::value::to_raw_value(value).expect("what is kept can be written as JSON"))
    }

    /// Reads it; `None` where it is something else.
    pub fn read<'a, T: Deserialize<'a>>(&'a self) -> Option<T> {
        serde_json::from_str(self.0.get()).ok()
    }
}

/// By its text: whoever compares has read the same file.
impl PartialEq for Opaque {
    fn eq(&self, other: &Opaque) -> bool {
        self.0.get() == other.0.get()
    }
}

impl Default for Opaque {
    fn default() -> Opaque {
        Opaque::of(&())
    }
}

/// A container, as long as it exists. `S` is what is read of what the command line keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record<S = Opaque> {
    /// Form of this file.
    pub version: u32,
    /// 64 hexadecimal digits.
    pub id: String,
    /// Unique among containers.
    pub name: String,
    /// The image as it was asked for.
    pub image: String,
    /// The image's own id.
    pub image_id: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// When it was made, ns since 1970.
    pub created: u64,
    /// The boot in which it was last started, or made to be started at once (/proc/sys/kernel/random/boot_id); empty where it
    /// was made for later.
    pub boot: String,
    /// Its control groups, below each hierarchy's root: `PARENT/ID`. Empty in an older record.
    #[serde(default)]
    pub cgroup: PathBuf,
    /// Its files go when it ends.
    pub auto_remove: bool,
    /// Its standard streams are a terminal.
    pub terminal: bool,
    /// Its standard input is kept open.
    pub interactive: bool,
    /// What the command line keeps with it: labels, ports, limits as typed.
    pub settings: S,
    /// How its last run ended, or why there was none.
    pub last: Option<LastRun>,
    /// How often its monitor has started it again since a user did.
    #[serde(default)]
    pub restarts: u32,
    /// A user has stopped it since a user started it.
    #[serde(default)]
    pub stopped_by_user: bool,
}

impl<S> Record<S> {
    /// When it last ended, or was made where it never ran; ns since 1970.
    pub fn last_used(&self) -> u64 {
        self.last.as_ref().map_or(self.created, |last| last.finished)
    }

    /// The record with something else for what the command line keeps, and that by itself.
    pub fn exchange<T>(self, settings: T) -> (Record<T>, S) {
        let record = Record {
            version: self.version,
            id: self.id,
            name: self.name,
            image: self.image,
            image_id: self.image_id,
            command: self.command,
            created: self.created,
            boot: self.boot,
            cgroup: self.cgroup,
            auto_remove: self.auto_remove,
            terminal: self.terminal,
            interactive: self.interactive,
            settings,
            last: self.last,
            restarts: self.restarts,
            stopped_by_user: self.stopped_by_user,
        };
        (record, self.settings)
    }
}

/// A run that is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRun {
    /// When its program started, ns since 1970; `None` where it never did.
    pub started: Option<u64>,
    /// When it ended, ns since 1970.
    pub finished: u64,
    /// Exit code; 128+n for a signal.
    pub code: i32,
    /// The kernel killed for want of memory.
    pub oom_killed: bool,
    /// Why, where more is known than a code.
    pub reason: Option<String>,
}

/// A run that goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Live {
    /// Form of this file.
    pub version: u32,
    /// Init.
    pub init: ProcessId,
    /// Its monitor.
    pub monitor: ProcessId,
    /// When its program started, ns since 1970; `None` as long as it has not.
    pub started: Option<u64>,
    /// What the command line keeps with it: addresses.
    pub settings: Opaque,
    /// It has ended and its monitor will start it again: how it ended.
    #[serde(default)]
    pub between: Option<LastRun>,
}

/// A process, told apart from a later one with the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// In the host's pid namespace.
    pub pid: i32,
    /// Start time, clock ticks since boot (proc_pid_stat(5), field 22).
    pub start_time: u64,
}

/// What the kernel says about a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// Init is there, by pid and start time.
    pub init: bool,
    /// The monitor holds the container's lock.
    pub monitor: bool,
    /// The record was made in this boot.
    pub same_boot: bool,
}

/// What a container does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// Made, never started, or its start failed.
    Created,
    /// Its program runs.
    Running {
        /// Since when, ns since 1970.
        since: u64,
        /// A monitor looks after it.
        supervised: bool,
    },
    /// It ended, and its monitor is about to start it again.
    Restarting {
        /// Exit code; 128+n for a signal.
        code: i32,
        /// When, ns since 1970.
        finished: u64,
    },
    /// It ended.
    Exited {
        /// Exit code; 128+n for a signal.
        code: i32,
        /// When, ns since 1970; `None` where nobody saw it.
        finished: Option<u64>,
        /// Why, where more is known than a code.
        reason: Option<String>,
    },
}

impl Status {
    /// Somebody looks after it: it runs, or is about to run again.
    pub fn is_up(&self) -> bool {
        matches!(self, Status::Running { .. } | Status::Restarting { .. })
    }

    /// Its program runs.
    pub fn is_running(&self) -> bool {
        matches!(self, Status::Running { .. })
    }
}

/// The status of a container. PURE.
pub fn status<S>(record: &Record<S>, live: Option<&Live>, probe: Probe) -> Status {
    if let Some(live) = live {
        if let (Some(last), true) = (&live.between, probe.monitor) {
            return Status::Restarting { code: last.code, finished: last.finished };
        }
        if probe.init {
            return match live.started {
                Some(since) => Status::Running { since, supervised: probe.monitor },
                None => Status::Created,
            };
        }
        if probe.monitor {
            // It has ended, or is about to be written down: nobody can tell it from running yet.
            return match (live.started, &record.last) {
                (Some(since), None) => Status::Running { since, supervised: true },
                (_, Some(last)) => ended(last),
                (None, None) => Status::Created,
            };
        }
        return match (record.last.as_ref().or(live.between.as_ref()), live.started) {
            (Some(last), _) if last.started >= live.started => ended(last),
            (_, Some(_)) => lost(),
            (_, None) => Status::Created,
        };
    }
    match &record.last {
        Some(last) => ended(last),
        None if probe.same_boot || probe.monitor || record.boot.is_empty() => Status::Created,
        None => lost(),
    }
}

fn ended(last: &LastRun) -> Status {
    match last.started {
        Some(_) => {
            Status::Exited { code: last.code, finished: Some(last.finished), reason: last.reason.clone() }
        }
        None => Status::Created,
    }
}

fn lost() -> Status {
    Status::Exited { code: 137, finished: None, reason: Some("monitor lost".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(last: Option<LastRun>) -> Record {
        Record {
            version: VERSION,
            id: "0".repeat(64),
            name: "n".into(),
            image: "busybox".into(),
            image_id: "sha256:0".into(),
            command: vec!["sh".into()],
            created: 1,
            boot: "b".into(),
            cgroup: "mini/0".into(),
            auto_remove: false,
            terminal: false,
            interactive: false,
            settings: Opaque::default(),
            last,
            restarts: 0,
            stopped_by_user: false,
        }
    }
    fn live(started: Option<u64>) -> Live {
        let process = ProcessId { pid: 1, start_time: 2 };
        let settings = Opaque::default();
        Live { version: VERSION, init: process, monitor: process, started, settings, between: None }
    }
    fn between(started: u64) -> Live {
        Live { between: Some(last(Some(started))), ..live(Some(started)) }
    }
    fn last(started: Option<u64>) -> LastRun {
        LastRun { started, finished: 9, code: 3, oom_killed: false, reason: None }
    }

    #[test]
    fn the_kernel_is_the_truth() {
        let exited = Status::Exited { code: 3, finished: Some(9), reason: None };
        let running = |supervised| Status::Running { since: 5, supervised };
        let probe = |init, monitor, same_boot| Probe { init, monitor, same_boot };
        for (what, record, live, probe, expected) in [
            ("made", record(None), None, probe(false, false, true), Status::Created),
            ("start failed", record(Some(last(None))), None, probe(false, false, true), Status::Created),
            ("starting", record(None), Some(live(None)), probe(true, true, true), Status::Created),
            ("running", record(None), Some(live(Some(5))), probe(true, true, true), running(true)),
            ("unsupervised", record(None), Some(live(Some(5))), probe(true, false, true), running(false)),
            ("ending", record(None), Some(live(Some(5))), probe(false, true, true), running(true)),
            ("ended", record(Some(last(Some(5)))), None, probe(false, false, true), exited.clone()),
            (
                "ended, the rest being removed",
                record(Some(last(Some(5)))),
                Some(live(Some(5))),
                probe(false, true, true),
                exited.clone(),
            ),
            (
                "about to be started again",
                record(Some(last(Some(5)))),
                Some(between(5)),
                probe(false, true, true),
                Status::Restarting { code: 3, finished: 9 },
            ),
            (
                "monitor killed before it started it again",
                record(Some(last(Some(5)))),
                Some(between(5)),
                probe(false, false, true),
                exited.clone(),
            ),
            ("monitor killed", record(None), Some(live(Some(5))), probe(false, false, true), lost()),
            (
                "monitor killed in the second run",
                record(Some(last(Some(4)))),
                Some(live(Some(5))),
                probe(false, false, true),
                lost(),
            ),
            (
                "monitor killed before the program ran",
                record(None),
                Some(live(None)),
                probe(false, false, true),
                Status::Created,
            ),
            ("running when the power failed", record(None), None, probe(false, false, false), lost()),
        ] {
            assert_eq!(status(&record, live.as_ref(), probe), expected, "{what}");
        }
    }

    #[test]
    fn the_written_form_is_a_promise() {
        let text = serde_json::to_string(&record(Some(last(Some(5))))).unwrap();
        assert!(text.starts_with(r#"{"version":1,"id":"0000"#), "{text}");
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record(Some(last(Some(5)))));
        let older = text.replace(r#","restarts":0,"stopped_by_user":false"#, "");
        assert!(older.len() < text.len());
        assert_eq!(serde_json::from_str::<Record>(&older).unwrap(), record(Some(last(Some(5)))));
        let older = older.replace(r#""cgroup":"mini/0","#, "");
        let expected = Record { cgroup: PathBuf::new(), ..record(Some(last(Some(5)))) };
        assert_eq!(serde_json::from_str::<Record>(&older).unwrap(), expected);
    }
}
