//! What is pulled, and what mini promises of it.

use serde::{Deserialize, Serialize};

use crate::bench::figures::Bar;

/// An image to pull.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, clap::ValueEnum)]
pub(super) enum Case {
    /// Debian in eight gzip layers: programs, a removal of files, small files
    Debian,
    /// The same layers with zstd, windows of 8 MiB
    Zstd,
    /// Sixty layers of 128 KiB
    Layers,
    /// One layer of 1 GiB
    Large,
    /// One layer of 200 000 empty files
    Files,
}

/// The headings of a case's tables, by which its rows are found.
pub(super) struct Headings {
    pub(super) time: &'static str,
    pub(super) processor: &'static str,
    pub(super) memory: &'static str,
}

impl Case {
    /// Its name in the registry.
    pub(super) fn image(self) -> &'static str {
        match self {
            Self::Debian => "bench/debian",
            Self::Zstd => "bench/zstd",
            Self::Layers => "bench/layers",
            Self::Large => "bench/large",
            Self::Files => "bench/files",
        }
    }

    pub(super) fn headings(self) -> Headings {
        macro_rules! of {
            ($name:literal) => {
                Headings {
                    time: concat!($name, ": wall clock, ms"),
                    processor: concat!($name, ": processors, ms"),
                    memory: concat!($name, ": peak memory, MB"),
                }
            };
        }
        match self {
            Self::Debian => of!("debian"),
            Self::Zstd => of!("zstd"),
            Self::Layers => of!("60 layers"),
            Self::Large => of!("1 GiB"),
            Self::Files => of!("200 000 files"),
        }
    }

    /// What mini promises of its medians.
    pub(super) fn bars(self) -> Vec<Bar> {
        let Headings { time, processor, .. } = self.headings();
        match self {
            Self::Debian => vec![
                Bar { work: time, peer: "floor", at_most: 1.25 },
                Bar { work: time, peer: "docker", at_most: 1.0 / 3.0 },
                Bar { work: time, peer: "podman", at_most: 1.0 / 3.0 },
                Bar { work: time, peer: "containerd", at_most: 1.0 / 3.0 },
                Bar { work: processor, peer: "docker", at_most: 1.0 / 3.0 },
            ],
            _ => Vec::new(),
        }
    }

    /// The most memory that mini takes, MB.
    pub(super) fn memory_bar(self) -> f64 {
        60.0
    }
}
