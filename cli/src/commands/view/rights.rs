//! The same root: what it may do on both sides (capabilities(7), seccomp(2)).

use anyhow::Result;
use runtime::caps::{self, CapSet};

use super::Row;
use super::status::Status;
use super::subject::Subject;

pub(super) fn look(subject: &Subject<'_>) -> Result<Vec<Row>> {
    Ok(rows(&Status::read("self")?, &subject.status, subject.shares("user")))
}

/// PURE.
fn rows(here: &Status, inside: &Status, shared: bool) -> Vec<Row> {
    let over_the_host = match shared {
        true => format!("{}, over the host too", inside.effective.iter().count()),
        false => "none: they count in its user namespace".to_owned(),
    };
    let bit = |set: bool| if set { "1" } else { "0" };
    vec![
        Row::new("effective", names(here.effective), names(inside.effective)),
        Row::new("bounding", names(here.bounding), names(inside.bounding)),
        Row::new("its on host", over_the_host, inside.effective.iter().count().to_string()),
        Row::new("no new ones", bit(here.no_new_privileges), bit(inside.no_new_privileges)),
        Row::new("seccomp", filter(here), filter(inside)),
    ]
}

/// `14: chown dac_override …`
fn names(set: CapSet) -> String {
    let names: Vec<String> =
        set.iter().map(|one| caps::name(one).trim_start_matches("CAP_").to_lowercase()).collect();
    match names.len() {
        0 => "none".to_owned(),
        all if set == CapSet::ALL => format!("all {all}"),
        some => format!("{some}: {}", names.join(" ")),
    }
}

fn filter(status: &Status) -> String {
    let what = match status.seccomp {
        0 => "no filter",
        1 => "strict",
        _ => "filter",
    };
    match status.filters.filter(|_| status.seccomp == 2) {
        Some(filters) => format!("{}: {what}, {filters} of them", status.seccomp),
        None => format!("{}: {what}", status.seccomp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(rows(&here, &inside, false), expected);
        assert_eq!(rows(&here, &inside, true)[2].host, "2, over the host too");
    }
}
