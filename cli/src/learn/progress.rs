//! Which lessons have been gone through, kept whole in one file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use runtime::sys;
use serde::{Deserialize, Serialize};

use crate::clock;

/// The form of the file.
const VERSION: u32 = 1;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    version: u32,
    /// When each lesson was done, ns since 1970.
    done: BTreeMap<String, u64>,
}

/// The learner's progress.
#[derive(Debug)]
pub(crate) struct Progress {
    file: PathBuf,
    kept: Kept,
}

impl Progress {
    /// Reads what is kept in a directory. What makes no sense counts as nothing: it is only a list of what to repeat.
    pub(crate) fn load(directory: &Path) -> Progress {
        let file = directory.join("progress.json");
        let kept = std::fs::read(&file).ok().and_then(|text| serde_json::from_slice::<Kept>(&text).ok());
        Progress { file, kept: kept.filter(|kept| kept.version == VERSION).unwrap_or_default() }
    }

    /// Whether a lesson has been done.
    pub(crate) fn has(&self, lesson: &str) -> bool {
        self.kept.done.contains_key(lesson)
    }

    /// A lesson has been done.
    ///
    /// # Errors
    /// Where it cannot be written down.
    pub(crate) fn done(&mut self, lesson: &str) -> Result<()> {
        self.kept.done.insert(lesson.to_owned(), clock::now());
        self.save()
    }

    /// Forgets these lessons.
    ///
    /// # Errors
    /// Where it cannot be written down.
    pub(crate) fn forget<'a>(&mut self, lessons: impl Iterator<Item = &'a str>) -> Result<()> {
        let before = self.kept.done.len();
        for lesson in lessons {
            self.kept.done.remove(lesson);
        }
        if self.kept.done.len() == before { Ok(()) } else { self.save() }
    }

    fn save(&mut self) -> Result<()> {
        self.kept.version = VERSION;
        let write = || -> Result<()> {
            if let Some(directory) = self.file.parent() {
                sys::fs::make_dirs(directory)?;
            }
            let text = serde_json::to_vec(&self.kept)?;
            Ok(sys::fs::write_whole(&self.file, &text, sys::fs::Durability::Cached)?)
        };
        write().context("cannot keep the progress")
    }
}
