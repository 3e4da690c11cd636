//! The engines, and what is done with many containers of one.

use std::process::Child;

use anyhow::Result;

use crate::bench::inside::{Place, World};
use crate::bench::{docker, mini, podman};

/// An engine with a command line like docker's.
pub(super) struct Engine {
    pub(super) who: &'static str,
    place: Place,
    /// What every command begins with.
    program: String,
    /// After `run`.
    run: Vec<String>,
    /// After `rm`: at once, whatever runs.
    remove: &'static [&'static str],
    /// The processes that support its containers.
    pub(super) support: &'static [&'static str],
}

/// Those that can be started here, with their daemons.
pub(super) fn begin(world: &mut World) -> (Vec<Engine>, Vec<Child>) {
    type Begin = fn(&mut World) -> Result<Vec<Child>>;
    let begins: [(&str, Begin); 3] =
        [("mini", mini::begin), ("docker", docker::begin), ("podman", podman::begin)];
    let (mut engines, mut daemons) = (Vec::new(), Vec::new());
    for (who, begin) in begins {
        eprintln!("preparing {who}");
        match begin(world) {
            Ok(started) => {
                daemons.extend(started);
                engines.extend(engine(world, who));
            }
            Err(error) => eprintln!("{who} is not measured: {error:#}"),
        }
    }
    (engines, daemons)
}

fn engine(world: &World, who: &str) -> Option<Engine> {
    let program = world.plan.mini.to_string_lossy().into_owned();
    Some(match who {
        "mini" => Engine {
            who: "mini",
            place: Place::Machine,
            program,
            run: Vec::new(),
            remove: &["--force"],
            support: &["mini"],
        },
        "docker" => Engine {
            who: "docker",
            place: Place::Machine,
            program: "docker".to_owned(),
            run: Vec::new(),
            remove: &["--force"],
            support: &["dockerd", "containerd", "containerd-shim"],
        },
        "podman" => Engine {
            who: "podman",
            place: Place::V1Only,
            program: "podman".to_owned(),
            run: vec!["--cgroup-parent".to_owned(), podman::cgroup_parent(world)],
            // It would wait ten seconds for what hears no SIGTERM; the others kill.
            remove: &["--force", "--time", "0"],
            support: &["conmon"],
        },
        _ => return None,
    })
}

impl Engine {
    /// So many containers of it.
    pub(super) fn many<'a, 'w>(&'a self, world: &'a mut World<'w>, containers: usize) -> Many<'a, 'w> {
        Many { engine: self, world, containers }
    }

    fn words(&self, words: &[&str]) -> Vec<String> {
        std::iter::once(self.program.clone()).chain(words.iter().map(|word| (*word).to_owned())).collect()
    }

    /// `run -d` of a container that sleeps.
    pub(super) fn sleeper(&self, name: &str) -> Vec<String> {
        let run = self.words(&["run", "--detach"]);
        let rest = ["--name", name, "busybox", "sleep", "1000000"].map(str::to_owned);
        run.into_iter().chain(self.run.iter().cloned()).chain(rest).collect()
    }

    /// `run --rm` of one that ends at once.
    pub(super) fn short(&self) -> Vec<String> {
        self.words(&["run", "--rm", "busybox", "true"])
    }

    /// `rm -f`
    pub(super) fn removal(&self, names: &[String]) -> Vec<String> {
        let options = self.words(&[&["rm"], self.remove].concat());
        options.into_iter().chain(names.iter().cloned()).collect()
    }
}

/// Many containers of one engine. Each method takes the time of what it does, ms.
pub(super) struct Many<'a, 'w> {
    pub(super) engine: &'a Engine,
    world: &'a mut World<'w>,
    containers: usize,
}

impl Many<'_, '_> {
    fn names(&self) -> Vec<String> {
        (0..self.containers).map(|number| format!("c{number}")).collect()
    }

    fn time(&mut self, commands: &[Vec<String>], at_once: usize) -> Result<f64> {
        self.world.runner(self.engine.place).time_all(commands, at_once)
    }

    pub(super) fn start(&mut self, at_once: usize) -> Result<f64> {
        let commands: Vec<_> = self.names().iter().map(|name| self.engine.sleeper(name)).collect();
        self.time(&commands, at_once)
    }

    pub(super) fn list(&mut self) -> Result<f64> {
        self.time(&[self.engine.words(&["ps"])], 1)
    }

    pub(super) fn count(&mut self) -> Result<f64> {
        self.time(&[self.engine.words(&["stats", "--no-stream"])], 1)
    }

    pub(super) fn remove(&mut self) -> Result<f64> {
        self.time(&[self.engine.removal(&self.names())], 1)
    }
}
