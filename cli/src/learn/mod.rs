//! `mini learn`: what a container is made of, one thing at a time, on this kernel and at this moment.
//!
//! A [`lesson::Lesson`] is data; the [`course`] goes through it; what happens in it happens in a [`lab`], a throwaway world of
//! its own; what is seen is read from the kernel, and judged by pure functions. [`say`] tells it in three forms.

mod course;
pub(crate) mod lab;
mod leaflet;
mod lesson;
mod lessons;
mod messages;
mod progress;
mod say;
mod screen;
mod signals;
mod wrap;

use std::rc::Rc;

use anyhow::{Result, bail};
use runtime::sys::signal;

use self::course::Course;
use self::lab::Lab;
use self::lesson::Lesson;
use self::lessons::LESSONS;
use self::progress::Progress;
use self::say::Form;
use self::screen::{Left, Screen};
use self::signals::Interrupted;
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::explain::{self, Language};
use crate::output;

pub(crate) use self::lab::take_over;
pub(crate) use self::signals::Signals;

/// How lessons are told, as the flags have it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// As lines.
    pub(crate) plain: bool,
    /// As objects.
    pub(crate) json: bool,
    /// In which language.
    pub(crate) language: Language,
}

/// What the lessons are called, in order.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    LESSONS.iter().map(|lesson| lesson.key)
}

/// The lesson that is called so.
///
/// # Errors
/// Where there is none.
fn find(name: &str) -> Result<&'static Lesson> {
    match LESSONS.iter().find(|lesson| lesson.key == name) {
        Some(lesson) => Ok(*lesson),
        None => {
            bail!("there is no lesson {name:?}: there are {}", names().collect::<Vec<_>>().join(", "))
        }
    }
}

fn progress(context: &Context) -> Progress {
    Progress::load(&context.dirs.root.join("learn"))
}

/// A row a lesson: whether it has been done, and what it is about.
///
/// # Errors
/// Where it cannot be printed.
pub(crate) fn list(context: &Context, manner: Manner) -> Result<ExitCode> {
    let messages = messages::of(manner.language);
    let progress = progress(context);
    let title = |lesson: &Lesson| messages.text(&format!("{}.title", lesson.key));
    if manner.json {
        for lesson in LESSONS {
            let done = progress.has(lesson.key);
            let row = serde_json::json!({"lesson": lesson.key, "title": title(lesson), "done": done});
            output::print_line(&row.to_string())?;
        }
        return Ok(ExitCode::Success);
    }
    let heading = ["list.lesson", "list.done", "list.about"].map(|key| messages.text(key));
    let heading: Vec<&str> = heading.iter().map(String::as_str).collect();
    let done = |lesson: &Lesson| messages.text(if progress.has(lesson.key) { "list.yes" } else { "list.no" });
    // The first column has said what it is called.
    let about = |lesson: &Lesson| {
        let title = title(lesson);
        title.strip_prefix(&format!("{}: ", lesson.key)).map_or(title.clone(), str::to_owned)
    };
    let row = |lesson: &&Lesson| vec![lesson.key.to_owned(), done(lesson), about(lesson)];
    let rows: Vec<Vec<String>> = LESSONS.iter().map(row).collect();
    output::print(output::table::table(&heading, &rows).as_bytes())?;
    Ok(ExitCode::Success)
}

/// Forgets what has been done: of some lessons, or of all.
///
/// # Errors
/// Where there is no such lesson, or it cannot be written down.
pub(crate) fn reset(context: &Context, names: &[String]) -> Result<ExitCode> {
    let lessons = match names {
        [] => LESSONS.to_vec(),
        names => names.iter().map(|name| find(name)).collect::<Result<_>>()?,
    };
    progress(context).forget(lessons.into_iter().map(|lesson| lesson.key))?;
    Ok(ExitCode::Success)
}

/// Forgets all that has been done; how many lessons that was.
///
/// # Errors
/// Where it cannot be written down.
pub(crate) fn forget_all(context: &Context) -> Result<usize> {
    let mut progress = progress(context);
    let done = names().filter(|name| progress.has(name)).count();
    progress.forget(names())?;
    Ok(done)
}

/// What every lesson says, by its name, to be read without a lab.
pub(crate) fn texts(language: Language) -> Vec<(&'static str, String)> {
    let messages = messages::of(language);
    LESSONS.iter().map(|lesson| (lesson.key, leaflet::leaflet(lesson, &messages))).collect()
}

/// Goes through one lesson, or through all that have not been done.
///
/// # Errors
/// What could not be done.
pub(crate) fn learn(context: &Context, names: &[String], manner: Manner) -> Result<ExitCode> {
    let mut progress = progress(context);
    let lessons: Vec<&Lesson> = match names {
        [] => LESSONS
            .iter()
            .copied()
            .filter(|lesson| manner.json || manner.plain || !progress.has(lesson.key))
            .collect(),
        names => names.iter().map(|name| find(name)).collect::<Result<_>>()?,
    };
    let messages = messages::of(manner.language);
    if lessons.is_empty() {
        output::print_line(&messages.text("course.all_done"))?;
        return Ok(ExitCode::Success);
    }
    let signals = Rc::new(Signals::hold()?);
    let form = match (manner.json, manner.plain || !screen::is_possible()) {
        (true, _) => Form::Json,
        (false, true) => {
            Form::Plain { outside: messages.text("screen.outside"), inside: messages.text("screen.inside") }
        }
        (false, false) => Form::Screen(Screen::new(Rc::clone(&signals), &messages)),
    };
    let Some(story) = explain::begin(Some(explain::Form::JSON))? else { bail!("nobody tells the story") };
    runtime::op::enter_process("learner");
    let reasons = explain::Messages::of(manner.language);
    let mut course = Course { form, messages, reasons, story, signals };
    let mut right = true;
    for lesson in lessons {
        match through(context, &mut course, lesson) {
            Ok(true) => progress.done(lesson.key)?,
            Ok(false) => right = false,
            Err(error) => match (error.downcast_ref::<Interrupted>(), error.downcast_ref::<Left>()) {
                (Some(Interrupted(signal)), _) => signal::die_of(*signal),
                (None, Some(Left)) => {
                    let text = wrap::wrap(&course.messages.text("course.left"), 79, 0).join("\n");
                    output::print_line(&format!("\n{text}"))?;
                    return Ok(ExitCode::Success);
                }
                (None, None) => return Err(error),
            },
        }
    }
    Ok(if right { ExitCode::Success } else { ExitCode::Failure })
}

/// One lesson in a lab of its own, which is gone afterwards, however it ended.
fn through(context: &Context, course: &mut Course, lesson: &Lesson) -> Result<bool> {
    let mut lab = Lab::open(context, Rc::clone(&course.signals))?;
    course.story.heard();
    let taught = course.teach(&lab, lesson);
    let closed = lab.close();
    course.story.heard();
    match (taught, closed) {
        (Err(error), Err(also)) => {
            // A signal or a key is no cause to be silent about what is left.
            output::warn(&format!("{also:#}"));
            Err(error)
        }
        (taught, closed) => closed.and(taught),
    }
}
