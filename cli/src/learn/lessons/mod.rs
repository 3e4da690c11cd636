//! The lessons, in the order in which they build on each other.

mod cpu;
mod pid;
mod user;
mod uts;

use super::lesson::Lesson;

/// All of them.
pub(crate) const LESSONS: &[&Lesson] = &[&uts::LESSON, &pid::LESSON, &user::LESSON, &cpu::LESSON];
