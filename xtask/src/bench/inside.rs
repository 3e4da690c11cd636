//! The bench itself, in namespaces of its own: engines are started, everything is run in turn, the figures are printed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use super::figures::{Bar, Row, table, verdicts};
use super::runner::Runner;
use super::start::Series;
use super::{Plan, bundle, bwrap, docker, floor, memory, mini, podman};
use crate::busybox;
use crate::command::{command, run};

pub(super) const BRIDGE: &str = "run --rm busybox true, bridge";
pub(super) const NO_NETWORK: &str = "run --rm busybox true, no network";
pub(super) const EXEC: &str = "exec c true";

/// After `run`: the container that programs are executed in. It has no network, so that the container which is measured is the
/// only one on its engine's bridge. podman makes the bridge for that one, and removes it afterwards; docker and mini keep theirs.
pub(super) const SLEEPER: &[&str] =
    &["--detach", "--network", "none", "--name", "bench", "busybox", "sleep", "1000000"];

/// What mini promises of its medians.
const BARS: &[Bar] = &[
    Bar { work: BRIDGE, peer: "docker", at_most: 1.0 / 30.0 },
    Bar { work: BRIDGE, peer: "podman", at_most: 1.0 / 30.0 },
    Bar { work: NO_NETWORK, peer: "crun", at_most: 0.7 },
    Bar { work: EXEC, peer: "crun", at_most: 0.6 },
];

/// How long a daemon goes on working for a container after its client has ended. What comes next must not be slowed by it.
pub(super) const AFTERMATH: Duration = Duration::from_millis(300);

/// Where a command runs.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Place {
    /// The machine's cgroups as they are.
    Machine,
    /// Without the cgroup v2 hierarchy of a hybrid machine, which crun cannot work with.
    V1Only,
}

/// A command to be measured.
pub(super) struct Candidate {
    pub(super) work: &'static str,
    pub(super) who: &'static str,
    pub(super) place: Place,
    pub(super) command: Vec<String>,
    /// How long to leave the machine alone after it, unmeasured.
    pub(super) aftermath: Duration,
}

impl Candidate {
    pub(super) fn new<S: AsRef<str>>(
        work: &'static str,
        who: &'static str,
        place: Place,
        words: impl IntoIterator<Item = S>,
    ) -> Self {
        let command = words.into_iter().map(|word| word.as_ref().to_owned()).collect();
        Candidate { work, who, place, command, aftermath: Duration::ZERO }
    }

    /// The same, of an engine that goes on working when its client has ended.
    pub(super) fn with_aftermath(self) -> Self {
        Candidate { aftermath: AFTERMATH, ..self }
    }
}

/// What the engines are given.
pub(super) struct World<'a> {
    pub(super) plan: &'a Plan,
    /// The image's files, with 0-based ids.
    pub(super) rootfs: PathBuf,
    /// The image's layer, to unpack it again with other ids.
    pub(super) layer: Vec<u8>,
    /// A runner for each place.
    pub(super) machine: Runner,
    pub(super) v1_only: Runner,
}

pub(super) fn main(plan: &Plan, series: &Series) -> Result<ExitCode> {
    let mut world = lay_out(plan)?;
    let mut candidates =
        vec![Candidate::new("no container", "busybox true", Place::Machine, ["/bin/busybox", "true"])];
    let mut daemons = Vec::new();
    // An engine that cannot be measured here is named, and leaves its rows and bars empty.
    type Prepare = fn(&mut World, &mut Vec<Candidate>) -> Result<Vec<std::process::Child>>;
    let engines: [(&str, Prepare); 5] = [
        ("mini", mini::prepare),
        ("docker", docker::prepare),
        ("podman", podman::prepare),
        ("crun and runc", bundle::prepare),
        ("bwrap", bwrap::prepare),
    ];
    for (name, prepare) in engines {
        eprintln!("preparing {name}");
        match prepare(&mut world, &mut candidates) {
            Ok(started) => daemons.extend(started),
            Err(error) => eprintln!("{name} is not measured: {error:#}"),
        }
    }
    match floor::prepare(&world, &series.floor, &mut candidates) {
        Ok(()) => {}
        Err(error) => eprintln!("the floor is not measured: {error:#}"),
    }
    candidates
        .sort_by_key(|candidate| [BRIDGE, NO_NETWORK, EXEC].iter().position(|work| *work == candidate.work));

    world.warm_up(&mut candidates);
    let back_to_back = world.series(&candidates, series.rounds, Duration::ZERO)?;
    let idle = world.series(&candidates, series.idle_rounds, Duration::from_millis(series.idle_ms))?;

    println!(
        "Milliseconds; everything in turn, {} rounds back to back, then {} rounds with idle gaps.",
        series.rounds, series.idle_rounds
    );
    println!("\n{}", table("Back to back", &back_to_back));
    println!("{}", table(&format!("Each after {} ms of idleness", series.idle_ms), &idle));
    println!("{}", floor::exec(&world, series)?);
    println!("Bars, medians back to back");
    print!("{}", verdicts(&back_to_back, BARS));
    println!("Bars, medians after idleness");
    print!("{}", verdicts(&idle, BARS));
    println!("\n{}", memory::report(&world)?);
    Ok(ExitCode::SUCCESS)
}

/// How large the disk is that everything is written to, in truncate(1)'s words; it takes only what is used of it.
const DISK: &str = "16G";

/// Covers the directory by a file system of its own, ext4 with a journal as most machines have it. Without one, ext4 avoids inodes
/// that were removed in the last minutes, and looks at each of them again for every new file: what an engine removes would slow
/// down whoever comes after it.
fn mount_disk(directory: &Path) -> Result<()> {
    let file = directory.join("disk");
    run(command("truncate", ["-s", DISK]).arg(&file))?;
    // Nothing is to be written in the background while others are measured.
    run(command("mkfs.ext4", ["-q", "-F", "-E", "lazy_itable_init=1,nodiscard"]).arg(&file))?;
    run(command("mount", ["-o", "loop,noinit_itable"]).args([&file, directory]))
}

/// Makes the place the engines share: run directories and configuration of its own, a loopback, the unpacked image.
pub(super) fn lay_out(plan: &Plan) -> Result<World<'_>> {
    mount_disk(&plan.directory)?;
    // In this mount namespace only: what engines write below /run and /etc is theirs, and gone with them.
    run(command("mount", ["-t", "tmpfs", "-o", "mode=755", "run", "/run"]))?;
    let etc = plan.directory.join("etc");
    let (upper, work) = (etc.join("upper"), etc.join("work"));
    for directory in [&upper, &work, &plan.directory.join("home")] {
        fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
    }
    let options = format!("lowerdir=/etc,upperdir={},workdir={}", upper.display(), work.display());
    run(command("mount", ["-t", "overlay", "-o", &options, "etc", "/etc"]))?;
    run(command("ip", ["link", "set", "lo", "up"]))?;

    let layer = busybox::layer(&plan.archive)?;
    let rootfs = plan.directory.join("rootfs");
    bundle::unpack(&layer, &rootfs, 0)?;
    // The image has neither, as docker's has not; the floor makes no mount points.
    for mount_point in ["proc", "sys"].map(|name| rootfs.join(name)) {
        fs::create_dir(&mount_point).with_context(|| format!("making {}", mount_point.display()))?;
    }
    let v1_only = "! mountpoint -q /sys/fs/cgroup/unified || umount /sys/fs/cgroup/unified";
    Ok(World { plan, rootfs, layer, machine: Runner::start(":")?, v1_only: Runner::start(v1_only)? })
}

impl World<'_> {
    pub(super) fn runner(&mut self, place: Place) -> &mut Runner {
        if place == Place::Machine { &mut self.machine } else { &mut self.v1_only }
    }

    fn time(&mut self, candidate: &Candidate) -> Result<f64> {
        self.runner(candidate.place).time(&candidate.command)
    }

    /// Runs everything twice, for caches to fill, and leaves out what does not work here.
    fn warm_up(&mut self, candidates: &mut Vec<Candidate>) {
        candidates.retain(|candidate| match self.time(candidate).and_then(|_| self.time(candidate)) {
            Ok(_) => true,
            Err(error) => {
                eprintln!("{}, {}: not measured: {error:#}", candidate.work, candidate.who);
                false
            }
        });
    }

    /// Everything in turn, so that what disturbs the machine for a while disturbs all alike.
    fn series(&mut self, candidates: &[Candidate], rounds: u32, gap: Duration) -> Result<Vec<Row>> {
        let row =
            |candidate: &Candidate| Row { work: candidate.work, who: candidate.who, samples: Vec::new() };
        let mut rows: Vec<Row> = candidates.iter().map(row).collect();
        for round in 1..=rounds {
            if round % 10 == 1 {
                eprintln!("round {round} of {rounds}, gaps of {} ms", gap.as_millis());
            }
            for (row, candidate) in rows.iter_mut().zip(candidates) {
                thread::sleep(gap);
                row.samples.push(self.time(candidate)?);
                thread::sleep(candidate.aftermath);
            }
        }
        rows.sort_by_key(|row| [BRIDGE, NO_NETWORK, EXEC].iter().position(|work| *work == row.work));
        Ok(rows)
    }
}

/// Waits until `path` exists: a daemon's socket, mostly.
pub(super) fn wait_for(path: &Path, daemon: &mut std::process::Child) -> Result<()> {
    for _ in 0..600 {
        if path.exists() {
            return Ok(());
        }
        if let Some(status) = daemon.try_wait().context("waiting for a daemon")? {
            anyhow::bail!("the daemon ended with {status} before it made {}", path.display());
        }
        thread::sleep(Duration::from_millis(50));
    }
    anyhow::bail!("the daemon did not make {} within 30 s", path.display())
}
