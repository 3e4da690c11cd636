//! Who has images, and how each is asked.

use std::process::Child;

use anyhow::Result;

use crate::bench::inside::{Place, World};
use crate::bench::{docker, mini, podman};

/// Who has images.
pub(super) struct Engine {
    pub(super) who: &'static str,
    pub(super) place: Place,
    program: String,
    /// What lets it speak plain HTTP to a registry on the loopback.
    plain: &'static [&'static str],
}

impl Engine {
    /// A command of it.
    pub(super) fn command<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        std::iter::once(self.program.clone()).chain(words.into_iter().map(str::to_owned)).collect()
    }

    pub(super) fn pull(&self, image: &str) -> Vec<String> {
        self.over_the_network("pull", image)
    }

    pub(super) fn push(&self, image: &str) -> Vec<String> {
        self.over_the_network("push", image)
    }

    fn over_the_network(&self, verb: &str, image: &str) -> Vec<String> {
        self.command([verb, "--quiet"].into_iter().chain(self.plain.iter().copied()).chain([image]))
    }
}

/// Those that can be started here, and their daemons.
pub(super) fn begin(world: &mut World) -> (Vec<Engine>, Vec<Child>) {
    type Begin = fn(&mut World) -> Result<Vec<Child>>;
    let mini = world.plan.mini.to_string_lossy().into_owned();
    let all: [(Engine, Begin); 3] = [
        (Engine { who: "mini", place: Place::Machine, program: mini, plain: &[] }, mini::begin),
        (
            Engine { who: "docker", place: Place::Machine, program: "docker".into(), plain: &[] },
            docker::begin,
        ),
        (
            Engine {
                who: "podman",
                place: Place::V1Only,
                program: "podman".into(),
                plain: &["--tls-verify=false"],
            },
            podman::begin,
        ),
    ];
    let (mut engines, mut daemons) = (Vec::new(), Vec::new());
    for (engine, begin) in all {
        eprintln!("preparing {}", engine.who);
        match begin(world) {
            Ok(started) => {
                engines.push(engine);
                daemons.extend(started);
            }
            Err(error) => eprintln!("{} is not measured: {error:#}", engine.who),
        }
    }
    (engines, daemons)
}
