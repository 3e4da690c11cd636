//! Tells what arrives, as the caller wants it: every line at once, or each step when it is over.

use std::collections::BTreeMap;
use std::io::Write as _;

use super::form::{Form, Level};
use super::line::Line;
use super::messages::Messages;
use super::pages;
use super::text::Style;

/// The client's, which alone prints.
pub(super) struct Teller {
    form: Form,
    messages: Messages,
    coloured: bool,
    /// The legend has been printed.
    begun: bool,
    /// Steps that are not over yet, by the process that is at them.
    open: BTreeMap<i32, Line>,
}

impl Teller {
    pub(super) fn new(form: Form, coloured: bool) -> Teller {
        let messages = Messages::of(form.language);
        Teller { form, messages, coloured, begun: false, open: BTreeMap::new() }
    }

    /// Tells a line, now or when its step is over.
    pub(super) fn hear(&mut self, line: Line) {
        let told = if self.form.level == Level::Story { self.follow(line) } else { vec![line] };
        for line in told {
            self.print(line);
        }
    }

    /// Nothing follows: whatever is not over is told as far as it went.
    pub(super) fn finish(&mut self) {
        for line in self.close() {
            self.print(line);
        }
    }

    /// The steps that are over with this line.
    fn follow(&mut self, line: Line) -> Vec<Line> {
        if line.step.is_some() {
            return self.open.insert(line.pid, line).into_iter().collect();
        }
        if let Some(step) = self.open.get_mut(&line.pid) {
            step.calls = Some(step.calls.unwrap_or(0) + 1);
            step.micros = Some(line.at.saturating_sub(step.at));
            // What failed and was put up with is the business of those who look at the calls.
            step.errno = line.errno;
        }
        // The program may run for long, and everything that made it has been done.
        if line.call.is_some_and(|call| call.starts_with("execve(")) { self.close() } else { Vec::new() }
    }

    /// All steps that are not over, in the order in which they began.
    fn close(&mut self) -> Vec<Line> {
        let mut all: Vec<_> = std::mem::take(&mut self.open).into_values().collect();
        all.sort_by_key(|line| line.at);
        all
    }

    fn print(&mut self, mut line: Line) {
        let call = line.call.as_ref().filter(|_| self.form.level == Level::Pages);
        if let Some((man, spec)) = call.and_then(|call| pages::of(call)) {
            (line.man, line.spec) = (Some(man.to_owned()), spec.map(str::to_owned));
        }
        let mut error = std::io::stderr().lock();
        // Who closed stderr wants no story.
        let _unread = if self.form.json {
            line.step = line.step.map(|step| self.messages.step(&step));
            writeln!(error, "{}", line.json())
        } else {
            let style = Style { level: self.form.level, messages: &self.messages, coloured: self.coloured };
            let legend = if self.begun { String::new() } else { style.legend() };
            write!(error, "{legend}{}", style.line(&line))
        };
        self.begun = true;
    }
}

#[cfg(test)]
mod tests {
    use super::super::messages::Language;
    use super::*;

    fn line(pid: i32, at: u64, step: &str, call: &str) -> Line {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Line { pid, at, step: text(step), call: text(call), errno: text(call).map(|_| 0), ..Line::default() }
    }

    #[test]
    fn a_step_lasts_to_its_last_operation_whatever_others_do_meanwhile() {
        let mut teller =
            Teller::new(Form { level: Level::Story, json: false, language: Language::En }, false);
        assert!(teller.follow(line(1, 10, "one", "")).is_empty());
        assert!(teller.follow(line(2, 11, "other", "")).is_empty());
        assert!(teller.follow(line(1, 15, "", "mkdir()")).is_empty());
        assert!(teller.follow(line(2, 40, "", "open()")).is_empty());
        assert!(teller.follow(line(3, 41, "", "without_a_step()")).is_empty());
        let over = teller.follow(line(1, 90, "two", ""));
        assert_eq!((over[0].step.as_deref(), over[0].micros, over[0].calls), (Some("one"), Some(5), Some(1)));
        let over: Vec<_> =
            teller.follow(line(2, 100, "", "execve(x)")).into_iter().map(|line| line.step).collect();
        assert_eq!(over, [Some("other".to_owned()), Some("two".to_owned())]);
        assert!(teller.close().is_empty());
    }
}
