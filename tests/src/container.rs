//! A container of the test's, by its id: what `mini` says about it, and what the kernel says.

use std::ffi::OsStr;
use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde_json::Value;

use crate::command::Mini;
use crate::{Host, Output, cgroups, processes};

/// A container that was started with `run -d`.
#[derive(Debug)]
pub struct Container<'host> {
    host: &'host Host,
    /// 64 hexadecimal digits.
    pub id: String,
}

impl<'host> Container<'host> {
    /// The container that `mini run -d` or `mini ps` named.
    #[track_caller]
    pub fn new(host: &'host Host, id: String) -> Self {
        let hexadecimal = id.len() == 64 && id.bytes().all(|byte| b"0123456789abcdef".contains(&byte));
        assert!(hexadecimal, "not an id of 64 hexadecimal digits: {id:?}");
        Self { host, id }
    }

    /// The one that runs.
    #[track_caller]
    pub fn only(host: &'host Host) -> Self {
        let short = host.mini(["ps", "-q"]).run().ok().line();
        let all = host.mini(["inspect", &short]).run().ok().json();
        Container::new(host, all[0]["Id"].as_str().expect("an id").to_owned())
    }

    /// The first 12 digits.
    pub fn short(&self) -> &str {
        &self.id[..12]
    }

    /// What `mini inspect` prints about it.
    #[track_caller]
    pub fn inspect(&self) -> Value {
        self.host.mini(["inspect", &self.id]).run().ok().json()[0].take()
    }

    /// One value of it, by JSON pointer (`/State/Pid`).
    #[track_caller]
    pub fn field(&self, pointer: &str) -> Value {
        let all = self.inspect();
        all.pointer(pointer).unwrap_or_else(|| panic!("inspect has no {pointer}: {all:#}")).clone()
    }

    /// The process number of its init on the machine.
    #[track_caller]
    pub fn pid(&self) -> i32 {
        let pid = self.field("/State/Pid").as_i64().and_then(|pid| i32::try_from(pid).ok());
        pid.filter(|pid| *pid > 0).unwrap_or_else(|| panic!("{} does not run", self.id))
    }

    /// The process that stays with it.
    #[track_caller]
    pub fn monitor(&self) -> i32 {
        let parent = processes::status(self.pid(), "PPid").expect("it runs");
        parent.parse().expect("a number")
    }

    /// Its address on the bridge.
    #[track_caller]
    pub fn address(&self) -> Ipv4Addr {
        let address = self.field("/NetworkSettings/IPAddress");
        address.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no address: {address}"))
    }

    /// `mini exec ID ARGS…`.
    pub fn exec<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Mini {
        self.host.mini(["exec", &self.id]).args(args)
    }

    /// The output of a shell command inside.
    #[track_caller]
    pub fn sh(&self, script: &str) -> Output {
        self.exec(["sh", "-c", script]).run()
    }

    /// The command lines of its processes, sorted, as the host's `/proc` has them: nothing has to run inside for that.
    #[track_caller]
    pub fn commands(&self) -> Vec<String> {
        let own = processes::namespace(self.pid(), "pid");
        let inside = |pid: &i32| own.is_some() && processes::namespace(*pid, "pid") == own;
        let mut lines: Vec<_> =
            processes::all().into_iter().filter(inside).map(processes::command_line).collect();
        // One that has ended and that nobody reaps has no command line.
        lines.retain(|line| !line.is_empty());
        lines.sort();
        lines
    }

    /// What the container wrote, both streams.
    #[track_caller]
    pub fn logs(&self) -> Output {
        self.host.mini(["logs", &self.id]).run().ok()
    }

    /// Waits for its end (by the end of its init) and then until `mini` says so.
    #[track_caller]
    pub fn wait(&self) -> Value {
        let pid = self.field("/State/Pid").as_i64().and_then(|pid| i32::try_from(pid).ok()).unwrap_or(0);
        if pid > 0 {
            processes::wait_for_end(pid);
        }
        crate::wait::until("the container's end in inspect", || {
            let state = self.field("/State");
            (state["Running"] == false).then_some(state)
        })
    }

    /// The directory of its cgroup that has `controller`.
    #[track_caller]
    pub fn cgroup(&self, controller: &str) -> PathBuf {
        let hierarchy =
            cgroups::with_controller(controller).unwrap_or_else(|| panic!("no {controller} controller"));
        cgroups::of_process(self.pid(), &hierarchy).expect("a process is in every hierarchy")
    }

    /// A file of that cgroup: the name for version 1 or the name for version 2, whichever the machine has.
    #[track_caller]
    pub fn cgroup_file(&self, controller: &str, v1: &str, v2: &str) -> String {
        let hierarchy =
            cgroups::with_controller(controller).unwrap_or_else(|| panic!("no {controller} controller"));
        let path = self.cgroup(controller).join(if hierarchy.v2 { v2 } else { v1 });
        fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("read {}: {error}", path.display()))
            .trim()
            .to_owned()
    }

    /// Removes it, running or not.
    #[track_caller]
    pub fn remove(self) {
        self.host.mini(["rm", "-f", &self.id]).run().ok();
    }
}
