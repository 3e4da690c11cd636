//! The same kernel: the namespaces of both sides, and the host name, which is all that some of them are about (namespaces(7)).

use anyhow::Result;

use super::Row;
use super::subject::{Subject, read};
use crate::words::Words;

pub(super) fn look(subject: &Subject<'_>) -> Result<Vec<Row>> {
    let hostname = read("/proc/sys/kernel/hostname")?;
    let mut rows = vec![Row::new(
        subject.words.text("namespace.hostname"),
        hostname.trim_end_matches('\n'),
        subject.told.hostname.clone(),
    )];
    rows.extend(spaces(&subject.spaces_here, &subject.spaces_inside, subject.words));
    Ok(rows)
}

/// PURE.
fn spaces(here: &[(&'static str, u64)], inside: &[(&'static str, u64)], words: &Words) -> Vec<Row> {
    let row = |(kind, inode): &(&'static str, u64)| {
        let own = inside.iter().find(|(known, _)| known == kind).map(|(_, inode)| *inode);
        let container = match own {
            Some(own) if own == *inode => words.filled("namespace.shared", &[("inode", own.to_string())]),
            Some(own) => own.to_string(),
            None => "-".to_owned(),
        };
        Row::new(*kind, inode.to_string(), container)
    };
    here.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::Language;

    #[test]
    fn what_is_shared_says_so() {
        let rows = spaces(
            &[("mnt", 1), ("net", 2), ("time", 3)],
            &[("mnt", 5), ("net", 2)],
            &super::super::words(Language::En),
        );
        let expected =
            [Row::new("mnt", "1", "5"), Row::new("net", "2", "2, the host's"), Row::new("time", "3", "-")];
        assert_eq!(rows, expected);
    }
}
