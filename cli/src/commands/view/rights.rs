//! The same root: what it may do on both sides (capabilities(7), seccomp(2)).

use anyhow::Result;
use runtime::caps::{self, CapSet};

use super::Row;
use super::status::Status;
use super::subject::Subject;
use crate::words::Words;

pub(super) fn look(subject: &Subject<'_>) -> Result<Vec<Row>> {
    Ok(rows(&Status::read("self")?, &subject.status, subject.shares("user"), subject.words))
}

/// PURE.
fn rows(here: &Status, inside: &Status, shared: bool, words: &Words) -> Vec<Row> {
    let number = inside.effective.iter().count().to_string();
    let over_the_host = match shared {
        true => words.filled("rights.over_the_host", &[("number", number.clone())]),
        false => words.text("rights.elsewhere"),
    };
    let bit = |set: bool| if set { "1" } else { "0" };
    let word = |key: &str| words.text(&format!("rights.{key}"));
    vec![
        Row::new(word("effective"), names(here.effective, words), names(inside.effective, words)),
        Row::new(word("bounding"), names(here.bounding, words), names(inside.bounding, words)),
        Row::new(word("on_host"), over_the_host, number),
        Row::new(word("no_new"), bit(here.no_new_privileges), bit(inside.no_new_privileges)),
        Row::new(word("seccomp"), filter(here, words), filter(inside, words)),
    ]
}

/// `14: chown dac_override …`
fn names(set: CapSet, words: &Words) -> String {
    let names: Vec<String> =
        set.iter().map(|one| caps::name(one).trim_start_matches("CAP_").to_lowercase()).collect();
    match names.len() {
        0 => words.text("rights.none"),
        all if set == CapSet::ALL => words.filled("rights.all", &[("number", all.to_string())]),
        some => format!("{some}: {}", names.join(" ")),
    }
}

fn filter(status: &Status, words: &Words) -> String {
    let what = words.text(match status.seccomp {
        0 => "rights.no_filter",
        1 => "rights.strict",
        _ => "rights.filter",
    });
    match status.filters.filter(|_| status.seccomp == 2) {
        Some(filters) => {
            let values = [("filter", what), ("number", filters.to_string())];
            format!("{}: {}", status.seccomp, words.filled("rights.filters", &values))
        }
        None => format!("{}: {what}", status.seccomp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::Language;

    #[test]
    fn rights_count_where_their_user_namespace_is() {
        let here = Status { effective: CapSet::ALL, bounding: CapSet::ALL, ..Status::default() };
        let inside = Status {
            effective: CapSet::from_bits(0b11),
            bounding: CapSet::from_bits(0),
            no_new_privileges: true,
            seccomp: 2,
            filters: Some(1),
            ..Status::default()
        };
        let expected = [
            Row::new("effective", "all 41", "2: chown dac_override"),
            Row::new("bounding", "all 41", "none"),
            Row::new("its on host", "none: they count in its user namespace", "2"),
            Row::new("no new ones", "0", "1"),
            Row::new("seccomp", "0: no filter", "2: filter, 1 of them"),
        ];
        let words = super::super::words(Language::En);
        assert_eq!(rows(&here, &inside, false, &words), expected);
        assert_eq!(rows(&here, &inside, true, &words)[2].host, "2, over the host too");
    }
}
