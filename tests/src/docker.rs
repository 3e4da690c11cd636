//! Debian's docker, in namespaces and directories of its own: the other side of a comparison.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::{Host, Mini, cgroups, wait};

/// The client and the daemon of Debian's package docker.io.
const CLIENT: &str = "/usr/bin/docker";
const DAEMON: &str = "/usr/sbin/dockerd";

/// The data lie where programs may be executed, and go with the namespace.
const SETUP: &str = "ip link set lo up && mount -t tmpfs docker \"$0\" && exec \"$@\"";

/// A daemon, ended with everything that it started when this is dropped.
#[derive(Debug)]
pub struct Docker {
    daemon: Child,
    directory: PathBuf,
    cgroup: String,
    home: PathBuf,
}

impl Docker {
    /// Starts one beside a host; `None` where the package is not installed.
    #[track_caller]
    pub fn start(host: &Host) -> Option<Docker> {
        if ![CLIENT, DAEMON].iter().all(|path| Path::new(path).exists()) {
            return None;
        }
        let directory = host.work().join("docker");
        fs::create_dir_all(directory.join("data")).expect("make docker's directory");
        let cgroup = format!("{}-docker", host.cgroup_parent());
        let show = |name: &str| directory.join(name).display().to_string();
        let log = File::create(directory.join("log")).expect("docker's log");
        // Process 1 of these namespaces ends with us, and everything in them with it.
        let daemon = Command::new("unshare")
            .args([
                "--mount",
                "--net",
                "--pid",
                "--ipc",
                "--uts",
                "--fork",
                "--kill-child",
                "--mount-proc",
                "--",
            ])
            .args(["sh", "-c", SETUP, &show("data"), DAEMON])
            .args(["--host", &format!("unix://{}", show("docker.sock"))])
            .args(["--exec-root", &show("exec"), "--data-root", &show("data"), "--pidfile", &show("pid")])
            // There is no systemd to ask for a cgroup here.
            .args(["--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", &format!("/{cgroup}")])
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log, twice"))
            .stderr(log)
            .spawn()
            .expect("start dockerd");
        let docker = Docker { daemon, directory, cgroup, home: host.home() };
        wait::until("a daemon that answers", || {
            docker.command(["version"]).run().status.success().then_some(())
        });
        Some(docker)
    }

    /// `docker ARGS…`, not started yet.
    pub fn command<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Mini {
        let mut command = Command::new(CLIENT);
        let socket = format!("unix://{}", self.directory.join("docker.sock").display());
        command.env_clear().env("HOME", &self.home).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("DOCKER_HOST", socket).args(args).current_dir("/");
        Mini::new(command)
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        // Ended already, or ending: it is waited for.
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
        cgroups::remove(&self.cgroup);
        // Its mounts went with its namespace.
        let _ = fs::remove_dir_all(&self.directory);
    }
}
