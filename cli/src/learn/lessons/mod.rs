//! The lessons, in the order in which they build on each other.

mod capabilities;
mod cgroup;
mod cpu;
mod freezer;
mod ipc;
mod mnt;
mod net;
mod netns;
mod overlay;
mod pid;
mod root;
mod rootfs;
mod seccomp;
mod user;
mod uts;

use super::lesson::Lesson;

/// All of them.
pub(crate) const LESSONS: &[&Lesson] = &[
    &uts::LESSON,
    &mnt::LESSON,
    &pid::LESSON,
    &ipc::LESSON,
    &user::LESSON,
    &root::LESSON,
    &freezer::LESSON,
    &cgroup::LESSON,
    &cpu::LESSON,
    &rootfs::LESSON,
    &net::LESSON,
    &netns::LESSON,
    &overlay::LESSON,
    &capabilities::LESSON,
    &seccomp::LESSON,
];
