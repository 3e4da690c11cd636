//! The story as people read it: columns, bars and colours. PURE.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthStr as _;

use super::form::Level;
use super::line::Line;
use super::messages::Messages;
use super::pages;
use super::step::Question;

/// How a line is written.
pub(crate) struct Style<'a> {
    pub(crate) level: Level,
    pub(crate) messages: &'a Messages,
    pub(crate) coloured: bool,
}

/// Cells of a bar.
const BAR: usize = 8;
/// µs from which on an operation is a slow one.
const SLOW: u64 = 1000;
/// Columns of the names of processes.
const NAME: usize = 10;
/// Columns before a call.
const MARGIN: usize = 2 + NAME + 1 + BAR + 1 + 10 + 2;

const OUTSIDE: &str = "\x1b[34m";
const INSIDE: &str = "\x1b[32m";
const BAD: &str = "\x1b[31m";
const NOTABLE: &str = "\x1b[33m";
const ASIDE: &str = "\x1b[2m";
const STRONG: &str = "\x1b[1m";

impl Style<'_> {
    /// What bars and colours mean: said once, before everything else.
    pub(crate) fn legend(&self) -> String {
        let label = |key| self.messages.label(key);
        let mut text = format!("# {}\n", label("bars"));
        if self.coloured {
            let parts = [(OUTSIDE, "outside"), (INSIDE, "inside"), (NOTABLE, "slow"), (BAD, "refused")];
            let parts: Vec<_> =
                parts.iter().map(|(colour, key)| self.in_colour(colour, label(key))).collect();
            let _infallible = writeln!(text, "# {}", parts.join(" · "));
        }
        text
    }

    /// One line of the story; a step that is over has how long it took.
    pub(crate) fn line(&self, line: &Line) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let whose = if line.ns == "container" { INSIDE } else { OUTSIDE };
        let name = self.in_colour(whose, &padded(self.messages.label(&line.process), NAME));
        if let Some(step) = &line.step {
            let step = self.messages.step(step);
            if self.level == Level::Story {
                let calls = match line.calls {
                    Some(1) => format!("  ({})", self.messages.label("call")),
                    Some(calls) if calls > 0 => {
                        format!("  ({})", self.messages.label("calls").replace("{}", &calls.to_string()))
                    }
                    _ => String::new(),
                };
                let refused = line.errno.filter(|errno| *errno != 0).map(|errno| self.answer(errno));
                let _infallible = writeln!(
                    text,
                    "  {name} {}  {step}{}{}",
                    self.duration(line.micros),
                    self.in_colour(ASIDE, &calls),
                    refused.unwrap_or_default()
                );
                return text;
            }
            let (process, ns) = (self.messages.label(&line.process), self.messages.label(&line.ns));
            let who = self.in_colour(whose, &format!("{process} {} ({ns}):", line.pid));
            let _infallible = writeln!(text, "\n{who} {}", self.in_colour(STRONG, &step));
        }
        if let Some(call) = &line.call {
            let answer = line.errno.filter(|errno| *errno != 0).map(|errno| self.answer(errno));
            let _infallible = writeln!(
                text,
                "  {name} {}  {call}{}",
                self.duration(line.micros),
                answer.unwrap_or_default()
            );
            for aside in line.shell.iter().map(|shell| format!("$ {shell}")).chain(self.pages(line)) {
                let _infallible = writeln!(text, "{:MARGIN$}{}", "", self.in_colour(ASIDE, &aside));
            }
        }
        text
    }

    /// The manual pages, and the specification where one says something about it.
    fn pages(&self, line: &Line) -> Option<String> {
        let man = line.man.as_ref()?;
        Some(match &line.spec {
            Some(spec) => {
                format!("{} {man} · {} {spec}", self.messages.label("man"), self.messages.label("spec"))
            }
            None => format!("{} {man}", self.messages.label("man")),
        })
    }

    fn answer(&self, errno: i64) -> String {
        format!("  {}", self.in_colour(BAD, &format!("= {}", errno_text(errno))))
    }

    /// The bar and the number; both empty where nothing was measured.
    fn duration(&self, micros: Option<u64>) -> String {
        let Some(micros) = micros else { return " ".repeat(BAR + 1 + 10) };
        let bar = padded(&bar(micros), BAR);
        let bar = if micros >= SLOW { self.in_colour(NOTABLE, &bar) } else { bar };
        format!("{bar} {micros:>7} µs")
    }

    fn in_colour(&self, colour: &str, text: &str) -> String {
        if self.coloured && !text.is_empty() { format!("{colour}{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// An operation that somebody looks at before it happens.
pub(crate) struct Scene<'a> {
    pub(crate) question: &'a Question,
    pub(crate) messages: &'a Messages,
}

impl Scene<'_> {
    /// Who, why, what, what a shell would do, and what to read.
    pub(crate) fn text(&self) -> String {
        let Question { role, call, pid, inside, why, shell, .. } = self.question;
        let label = |key| self.messages.label(key);
        let ns = label(if *inside { "container" } else { "host" });
        let coloured = crate::output::stderr_has_colours();
        let style = Style { level: Level::Pages, messages: self.messages, coloured };
        let whose = style
            .in_colour(if *inside { INSIDE } else { OUTSIDE }, &format!("{} {pid} ({ns}):", label(role)));
        let why = style.in_colour(STRONG, &self.messages.step(why));
        let mut text = format!("\n{whose} {why}\n  {}: {call}\n", label("step_next"));
        let (man, spec) = pages::of(call).map_or((None, None), |(man, spec)| (Some(man), spec));
        let line = Line { man: man.map(str::to_owned), spec: spec.map(str::to_owned), ..Line::default() };
        let shell = (!shell.is_empty()).then(|| format!("$ {shell}"));
        for aside in shell.into_iter().chain(style.pages(&line)) {
            let _infallible = writeln!(text, "  {}", style.in_colour(ASIDE, &aside));
        }
        text
    }
}

/// A bar that is one cell longer for what takes four times as long: 4 µs have one, 1 ms five, 65 ms and more all eight. Eighths
/// of a cell are blocks of Unicode.
fn bar(micros: u64) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    if micros == 0 {
        return String::new();
    }
    // In eighths of a cell, which are quarters of a bit: two bits are a cell.
    let bits = micros.ilog2();
    let rest = (u128::from(micros - (1 << bits)) * 4) >> bits;
    let eighths = usize::try_from(u128::from(bits) * 4 + rest).unwrap_or(usize::MAX).clamp(1, BAR * 8);
    "█".repeat(eighths / 8) + EIGHTHS[eighths % 8]
}

/// To so many columns of a terminal: a letter of Korean takes two.
fn padded(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(text.width())))
}

fn errno_text(errno: i64) -> String {
    match i32::try_from(errno) {
        Ok(errno) if errno > 0 => {
            let text = std::io::Error::from_raw_os_error(errno).to_string();
            text.split(" (os error").next().unwrap_or_default().to_lowercase()
        }
        _ => "refused".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::messages::Language;
    use super::*;

    fn line(process: &str, micros: u64, errno: i64) -> Line {
        Line {
            at: 1000,
            process: process.to_owned(),
            pid: 42,
            ns: if process == "init" { "container" } else { "host" }.to_owned(),
            call: Some("mkdir(\"/x\", 0755)".to_owned()),
            shell: Some("mkdir /x".to_owned()),
            micros: Some(micros),
            errno: Some(errno),
            man: Some("mkdir(2)".to_owned()),
            ..Line::default()
        }
    }

    #[test]
    fn bars_grow_with_time_and_end() {
        let lengths: Vec<_> = (0..40).map(|bits| bar(1 << bits).chars().count()).collect();
        assert!(lengths.is_sorted(), "{lengths:?}");
        for (micros, expected) in [
            (0, ""),
            (1, "▏"),
            (2, "▌"),
            (4, "█"),
            (6, "█▎"),
            (64, "███"),
            (1024, "█████"),
            (u64::MAX, "████████"),
        ] {
            assert_eq!(bar(micros), expected, "{micros}");
        }
    }

    #[test]
    fn columns_are_straight_in_both_languages() {
        for language in [Language::En, Language::Ko] {
            let messages = Messages::of(language);
            let style = Style { level: Level::Pages, messages: &messages, coloured: false };
            for process in
                ["client", "monitor", "init", "helper", "exec", "pull", "program", "watcher", "process"]
            {
                for micros in [0, 7, 1_234_567] {
                    let text = style.line(&line(process, micros, 0));
                    let (before, _) = text.split_once("mkdir(\"").expect("the call");
                    assert_eq!(before.width(), MARGIN, "{text}");
                    let (before, _) = text.lines().nth(1).expect("the shell").split_once('$').expect("it");
                    assert_eq!(before.width(), MARGIN, "{text}");
                }
            }
        }
    }

    #[test]
    fn colours_say_where_and_what_is_notable_and_go_without_a_trace() {
        let messages = Messages::of(Language::En);
        let of =
            |coloured, line: &Line| Style { level: Level::Calls, messages: &messages, coloured }.line(line);
        assert!(of(true, &line("init", 7, 0)).contains(INSIDE));
        assert!(of(true, &line("monitor", 7, 0)).contains(OUTSIDE));
        let bad = of(true, &line("init", 2000, 2));
        assert!(
            bad.contains(BAD) && bad.contains(NOTABLE) && bad.contains("no such file or directory"),
            "{bad}"
        );
        let plain = of(false, &line("init", 2000, 2));
        assert!(!plain.contains('\x1b') && plain.contains("2000 µs"), "{plain}");
        let bare: String =
            bad.split('\x1b').map(|part| part.split_once('m').map_or(part, |(_, rest)| rest)).collect();
        assert_eq!(bare, plain);
    }
}
