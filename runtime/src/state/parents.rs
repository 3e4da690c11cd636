//! The control groups that containers asked to get their own in: known until the next boot, as long as groups last too.
//!
//! A directory each, at the same path below one of ours: what `mini system check` has to look through beside the configured one.

use std::path::{Path, PathBuf};

use super::State;
use crate::op::{OpError, step};
use crate::sys;

impl State {
    /// Writes down that a container gets its group in `parent`, a path below the root of every hierarchy.
    ///
    /// # Errors
    /// What mkdir(2) answered.
    pub fn note_cgroup_parent(&self, parent: &Path) -> Result<(), OpError> {
        let note = self.cgroup_parents().join(parent);
        if note.is_dir() {
            return Ok(());
        }
        step(
            "Write down where the container's control groups are going to be: they can be found there whatever happens",
        );
        sys::fs::make_dirs(&note)
    }

    /// Every group that was written down, and those above them.
    pub fn noted_cgroup_parents(&self) -> Vec<PathBuf> {
        let top = self.cgroup_parents();
        let mut found = Vec::new();
        let mut directories = vec![top.clone()];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
                directories.push(entry.path());
                found.extend(entry.path().strip_prefix(&top).map(Path::to_owned));
            }
        }
        found
    }

    fn cgroup_parents(&self) -> PathBuf {
        self.run.join("cgroup-parents")
    }
}
