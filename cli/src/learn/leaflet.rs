//! What a lesson says, as a text to be read or printed: without a lab, and so without what is typed and seen in it. PURE.

use unicode_width::UnicodeWidthStr as _;

use super::lesson::Lesson;
use super::say::Step;
use super::wrap;
use crate::words::Words;

/// How wide the text is.
const COLUMNS: usize = 79;

/// The words of a lesson in their order ([`super::course`]), each below the step that it belongs to.
pub(super) fn leaflet(lesson: &Lesson, messages: &Words) -> String {
    let key = lesson.key;
    let title = messages.text(&format!("{key}.title"));
    let mut text = format!("{title}\n{}\n", "=".repeat(title.width()));
    let acts = (1..=lesson.acts.len()).map(|number| (Step::Do, format!("do{number}")));
    let before = [(Step::Why, "why"), (Step::Predict, "predict")];
    let after = [(Step::Check, "answer"), (Step::Break, "break"), (Step::Fix, "fix"), (Step::Done, "done")];
    let owned = |(step, word): (Step, &str)| (step, word.to_owned());
    for (step, word) in before.map(owned).into_iter().chain(acts).chain(after.map(owned)) {
        let said = wrap::wrap(&messages.text(&format!("{key}.{word}")), COLUMNS, 0).join("\n");
        text += &format!("\n[{}]\n{said}\n", messages.text(step.key()));
    }
    text
}
