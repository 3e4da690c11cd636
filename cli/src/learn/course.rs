//! The way through a lesson, the same for all: why, predict, do, look, check, break, fix.
//!
//! The student acts by typing into a shell of the lab, or lets mini do it. The check looks at the kernel's state alone, so
//! either way counts.

use std::rc::Rc;

use anyhow::{Context as _, Result};

use super::lab::Lab;
use super::lesson::{Act, Lesson, Look, State, Verdict};
use super::say::{Checked, Form, Said, Step, What};
use super::signals::Signals;
use crate::explain::{self, Story};
use crate::words::Words;

/// One or more lessons, in one lab each.
pub(crate) struct Course {
    pub(crate) form: Form,
    pub(crate) messages: Words,
    /// The narrator's, for what mini does itself.
    pub(crate) reasons: explain::Messages,
    pub(crate) story: Story,
    pub(crate) signals: Rc<Signals>,
}

impl Course {
    /// Goes through a lesson; whether every check came out as the lesson says.
    ///
    /// # Errors
    /// What could not be done; a signal; the student who left.
    pub(crate) fn teach(&mut self, lab: &Lab, lesson: &Lesson) -> Result<bool> {
        let machine = (lesson.machine)();
        self.begin(lesson, Step::Why)?;
        self.text(lesson, Step::Why, "why")?;
        self.wait()?;
        self.begin(lesson, Step::Predict)?;
        self.text(lesson, Step::Predict, "predict")?;
        let mut right = self.check(lab, lesson, Step::Before, false)?;
        self.wait()?;
        for (number, act) in lesson.acts.iter().enumerate() {
            self.begin(lesson, Step::Do)?;
            self.text(lesson, Step::Do, &format!("do{}", number + 1))?;
            self.act(lab, lesson, Step::Do, act, State::Holds)?;
            self.looks(lab, lesson)?;
        }
        self.text(lesson, Step::Check, "answer")?;
        right &= self.check(lab, lesson, Step::Check, true)?;
        self.wait()?;
        for (step, act, state) in
            [(Step::Break, &lesson.broken, State::Leaks), (Step::Fix, &lesson.fixed, State::Holds)]
        {
            lab.sweep()?;
            self.begin(lesson, step)?;
            self.text(lesson, step, if step == Step::Break { "break" } else { "fix" })?;
            self.act(lab, lesson, step, act, state)?;
            self.looks(lab, lesson)?;
            right &= self.check(lab, lesson, step, state == State::Holds)?;
            self.wait()?;
        }
        lab.sweep()?;
        self.begin(lesson, Step::Done)?;
        self.text(lesson, Step::Done, "done")?;
        let after = (lesson.machine)();
        if !machine.is_empty() {
            let values = [("before", machine.clone()), ("after", after.clone())];
            let text = self.messages.filled("course.machine", &values);
            self.say(lesson, Step::Done, What::Text { text })?;
        }
        Ok(right && machine == after)
    }

    fn begin(&mut self, lesson: &Lesson, step: Step) -> Result<()> {
        let title = self.messages.text(&format!("{}.title", lesson.key));
        self.form.begin(&title, &self.messages.text(step.key()))
    }

    fn say(&mut self, lesson: &Lesson, step: Step, what: What) -> Result<()> {
        self.signals.check()?;
        self.form.say(&Said { lesson: lesson.key, step, what })
    }

    fn text(&mut self, lesson: &Lesson, step: Step, word: &str) -> Result<()> {
        let text = self.messages.text(&format!("{}.{word}", lesson.key));
        self.say(lesson, step, What::Text { text })
    }

    /// A person reads; nobody else is waited for.
    fn wait(&mut self) -> Result<()> {
        let prompt = self.messages.text("screen.go_on");
        match &mut self.form {
            Form::Screen(screen) => screen.ask(&format!("\n{prompt}")).map(drop),
            Form::Plain { .. } | Form::Json => Ok(()),
        }
    }

    fn act(&mut self, lab: &Lab, lesson: &Lesson, step: Step, act: &Act, wanted: State) -> Result<()> {
        for text in (act.lines)(lab) {
            self.say(lesson, step, What::Command { text })?;
        }
        while let Form::Screen(screen) = &mut self.form {
            let prompt = self.messages.text("screen.prompt");
            screen.say(&What::Text { text: format!("\n{}", self.messages.text("screen.how")) })?;
            let line = loop {
                let line = screen.ask(&prompt)?;
                if line.is_empty() || line == "c" {
                    break line;
                }
                lab.shell((line != "sh").then_some(line.as_str()))?;
                screen.disturbed();
            };
            if line.is_empty() {
                break;
            }
            self.check(lab, lesson, step, wanted == State::Holds)?;
        }
        self.signals.check()?;
        let done = match act.done {
            Some(done) => done(lab)?,
            None => {
                !matches!(self.form, Form::Plain { .. } | Form::Json) && (lesson.check)(lab)?.state == wanted
            }
        };
        self.story.heard();
        if !done {
            (act.perform)(lab)
                .with_context(|| format!("cannot carry out the step of lesson {}", lesson.key))?;
            self.narrate(lab, lesson, step)?;
        }
        Ok(())
    }

    /// What mini has done, as its operations tell it.
    fn narrate(&mut self, lab: &Lab, lesson: &Lesson, step: Step) -> Result<()> {
        let own = self
            .story
            .heard()
            .into_iter()
            .filter(|line| matches!(line.process.as_str(), "lab" | "container"));
        for line in own.chain(lab.told()).collect::<Vec<_>>() {
            if let Some(english) = line.step {
                let text = self.reasons.step(&english);
                self.say(lesson, step, What::Reason { text })?;
            }
            if let (Some(text), Some(shell)) = (line.call, line.shell) {
                let (micros, errno) = (line.micros.unwrap_or(0), line.errno.unwrap_or(0));
                self.say(lesson, step, What::Op { text, shell, micros, errno, process: line.process })?;
            }
        }
        Ok(())
    }

    fn looks(&mut self, lab: &Lab, lesson: &Lesson) -> Result<()> {
        self.say(lesson, Step::Look, What::Text { text: self.messages.text("course.look") })?;
        for Look { command, read } in lesson.looks {
            let host = lab.see((lesson.outside)(lab), read)?;
            let inside = match (lesson.inside)(lab) {
                Some(pid) => lab.see(pid, read)?,
                None => self.messages.text("course.nobody"),
            };
            self.say(lesson, Step::Look, What::Look { text: (*command).to_owned(), host, inside })?;
        }
        self.story.heard();
        Ok(())
    }

    /// Checks the kernel's state and says what it comes to; whether that is what the lesson expects.
    fn check(&mut self, lab: &Lab, lesson: &Lesson, step: Step, expected: bool) -> Result<bool> {
        let verdict: Verdict = (lesson.check)(lab)?;
        let key = format!("{}.check.{}", lesson.key, verdict.word);
        let text = self.messages.filled(&key, &verdict.values);
        let check = Checked { passed: verdict.passes(), expected };
        self.say(lesson, step, What::Check { text, check })?;
        self.story.heard();
        Ok(verdict.passes() == expected)
    }
}
