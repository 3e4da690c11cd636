//! Limits of a container that runs are changed: all of them or none.

use std::fs;
use std::path::{Path, PathBuf};

use super::settings::{self, MEMORY, RT_PERIOD, RT_RUNTIME, SWAP, Setting};
use super::{CgroupError, Layout, Limits, v1, v2};
use crate::op::step;
use crate::sys::control::write_control;

impl Layout {
    /// Writes what `after` asks for and `before` does not, into the groups of a container that runs.
    ///
    /// # Errors
    /// See [`CgroupError`]; what was changed until then is as it was again.
    pub fn change(&self, path: &Path, before: &Limits, after: &Limits) -> Result<(), CgroupError> {
        step("Change what the container may use, while it runs");
        let (before, after) = (self.settings(before)?, self.settings(after)?);
        let current = |setting: &Setting| self.current(path, setting).map(|(_, value)| value);
        let mut undone: Vec<(PathBuf, String)> = Vec::new();
        for setting in ordered(difference(&before, &after), current) {
            let was = match self.enter_for(path, &setting) {
                Ok(()) => self.current(path, &setting),
                Err(error) => return Err(undo(&undone, error)),
            };
            if let Err(error) = self.write(path, &setting) {
                return Err(undo(&undone, error));
            }
            // A controller that is switched on for this starts with what the group above has: there is nothing to go back to.
            undone.extend(was.map(|(file, value)| (file, restorable(&value))));
        }
        Ok(())
    }

    fn settings(&self, limits: &Limits) -> Result<Vec<Setting>, CgroupError> {
        match self {
            Layout::V1(_) => Ok(settings::v1(limits)),
            Layout::V2(_) => settings::v2(limits),
        }
    }

    /// The file that a setting is written to, and what it says now.
    fn current(&self, path: &Path, setting: &Setting) -> Option<(PathBuf, String)> {
        let directory = self.directory(setting.controller, path)?;
        setting.choices.iter().find_map(|(file, _)| {
            let file = directory.join(file);
            let value = fs::read_to_string(&file).ok()?;
            Some((file, value))
        })
    }

    /// Version 1 has groups that a container is in only where a limit asks for it.
    fn enter_for(&self, path: &Path, setting: &Setting) -> Result<(), CgroupError> {
        let Layout::V1(hierarchies) = self else { return Ok(()) };
        let hierarchy = v1::hierarchy_of(hierarchies, setting.limit, setting.controller)?;
        if hierarchy.root.join(path).exists() {
            return Ok(());
        }
        Ok(v1::enter_late(hierarchies, hierarchy, path)?)
    }

    fn write(&self, path: &Path, setting: &Setting) -> Result<(), CgroupError> {
        match self {
            Layout::V1(hierarchies) => {
                let hierarchy = v1::hierarchy_of(hierarchies, setting.limit, setting.controller)?;
                v1::write(hierarchy, path, setting)
            }
            Layout::V2(root) => v2::write(root, path, setting),
        }
    }
}

/// Writes back what was there, last first; the first cause counts.
fn undo(undone: &[(PathBuf, String)], error: CgroupError) -> CgroupError {
    for (file, value) in undone.iter().rev() {
        // What cannot be written back now is written by the next change or start.
        let _stays = write_control(file, value);
    }
    error
}

/// What must be written to get from one to the other. PURE.
fn difference(before: &[Setting], after: &[Setting]) -> Vec<Setting> {
    let same_file = |one: &Setting, other: &Setting| {
        one.limit == other.limit
            && one.choices.first().map(|choice| choice.0) == other.choices.first().map(|choice| choice.0)
    };
    let new = after.iter().filter(|setting| !before.contains(setting)).cloned();
    let gone = before.iter().filter(|old| !after.iter().any(|setting| same_file(old, setting)));
    new.chain(gone.filter_map(settings::without)).collect()
}

/// Of two values that bound each other on version 1, the one that would leave its bound is written second: memory is never more
/// than memory and swap together, and realtime never more than its period. PURE.
fn ordered(mut settings: Vec<Setting>, current: impl Fn(&Setting) -> Option<String>) -> Vec<Setting> {
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let wanted = |setting: &Setting| setting.choices.first().and_then(|(_, value)| number(value));
    let now = |setting: &Setting| current(setting).and_then(|text| number(&text));
    let at = |settings: &[Setting], limit: &str| settings.iter().position(|setting| setting.limit == limit);
    if let (Some(memory), Some(swap)) = (at(&settings, MEMORY), at(&settings, SWAP))
        && wanted(&settings[memory]).zip(now(&settings[swap])).is_some_and(|(wanted, now)| wanted > now)
    {
        settings.swap(memory, swap);
    }
    if let (Some(period), Some(runtime)) = (at(&settings, RT_PERIOD), at(&settings, RT_RUNTIME))
        && wanted(&settings[period]).zip(now(&settings[runtime])).is_some_and(|(wanted, now)| wanted < now)
    {
        settings.swap(period, runtime);
    }
    settings
}

/// What a file said, as it takes it: the first line, which is the group's own where disks follow; an empty one is written as such.
/// PURE.
fn restorable(text: &str) -> String {
    match text.lines().next() {
        Some(line) if !line.trim().is_empty() => line.trim().to_owned(),
        _ => "\n".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(settings: &[Setting]) -> Vec<String> {
        settings.iter().map(|one| format!("{}={}", one.choices[0].0, one.choices[0].1)).collect()
    }

    #[test]
    fn only_what_differs_is_written() {
        let before = Limits { memory: Some(10), memory_swap: Some(20), pids: Some(5), ..Limits::default() };
        let after = Limits { memory: Some(15), cpu_shares: Some(7), pids: None, ..before.clone() };
        let written = difference(&settings::v1(&before), &settings::v1(&after));
        assert_eq!(files(&written), ["memory.limit_in_bytes=15", "cpu.shares=7", "pids.max=max"]);
        let written = difference(&settings::v2(&before).unwrap(), &settings::v2(&after).unwrap());
        assert_eq!(files(&written), ["memory.max=15", "memory.swap.max=5", "cpu.weight=1", "pids.max=max"]);
        assert_eq!(difference(&settings::v1(&before), &settings::v1(&before)), []);
    }

    #[test]
    fn memory_and_swap_are_raised_and_lowered_in_the_order_that_the_kernel_takes() {
        let limits =
            |memory, swap| Limits { memory: Some(memory), memory_swap: Some(swap), ..Limits::default() };
        let order = |memory, both, current: &str| {
            let all = ordered(settings::v1(&limits(memory, both)), |_| Some(current.to_owned()));
            all[0].limit
        };
        assert_eq!(order(50, 100, "200\n"), MEMORY);
        assert_eq!(order(300, 600, "200\n"), SWAP);
        assert_eq!(order(300, -1, "200\n"), SWAP);
        assert_eq!(order(300, 600, "9223372036854771712\n"), MEMORY);
        let realtime = Limits { rt_period: Some(500), rt_runtime: Some(100), ..Limits::default() };
        let first = |now: &str| ordered(settings::v1(&realtime), |_| Some(now.to_owned()))[0].limit;
        assert_eq!((first("300"), first("700")), (RT_PERIOD, RT_RUNTIME));
        // Version 2 counts swap alone, and none where there is no limit.
        assert_eq!(
            ordered(settings::v2(&limits(300, 600)).unwrap(), |_| Some("max\n".to_owned()))[0].limit,
            MEMORY
        );
    }

    #[test]
    fn what_is_read_can_be_written_again() {
        for (text, expected) in [
            ("100\n", "100"),
            ("max 100000\n", "max 100000"),
            ("default 100\n8:0 50\n", "default 100"),
            ("\n", "\n"),
            ("", "\n"),
        ] {
            assert_eq!(restorable(text), expected);
        }
    }
}
