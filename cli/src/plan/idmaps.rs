//! Id maps by hand: `--uidmap` and `--gidmap`, instead of a range out of mini's own block. PURE.

use anyhow::{Context as _, Result, bail, ensure};
use runtime::plan::IdMap;

/// The most lines that the kernel takes in an id map (user_namespaces(7), Linux 4.15).
const MOST_LINES: usize = 340;

/// The maps of users and of groups; where one is not given, it is as the other.
///
/// `block` is what mini shares out among containers by itself.
///
/// # Errors
/// A line that makes no sense; ids twice; the host's root; no root inside; ids of `block`.
pub(crate) fn by_hand(users: &[String], groups: &[String], block: IdMap) -> Result<(Vec<IdMap>, Vec<IdMap>)> {
    let map = |flag: &str, texts: &[String]| map(flag, texts, block);
    Ok(match (users, groups) {
        ([], []) => (Vec::new(), Vec::new()),
        (users, []) => map("--uidmap", users).map(|map| (map.clone(), map))?,
        ([], groups) => map("--gidmap", groups).map(|map| (map.clone(), map))?,
        (users, groups) => (map("--uidmap", users)?, map("--gidmap", groups)?),
    })
}

fn map(flag: &str, texts: &[String], block: IdMap) -> Result<Vec<IdMap>> {
    ensure!(texts.len() <= MOST_LINES, "{flag}: the kernel takes {MOST_LINES} lines, not {}", texts.len());
    let mut map: Vec<IdMap> = Vec::new();
    for text in texts {
        let one = line(text).with_context(|| format!("{flag} {text:?}"))?;
        if overlap(one.host, one.size, 0, 1) {
            bail!(
                "{flag} {text:?}: it gives the container id 0 of the host: who has it there is root on the host, which a user \
                 namespace is to prevent (--userns=host shares the host's users knowingly)"
            );
        }
        if overlap(one.host, one.size, block.host, block.size) {
            bail!(
                "{flag} {text:?}: ids from {} to {} are those that mini gives to containers by itself (ids.base, ids.count)",
                block.host,
                u64::from(block.host) + u64::from(block.size) - 1
            );
        }
        for other in &map {
            ensure!(
                !overlap(one.container, one.size, other.container, other.size),
                "{flag} {text:?}: ids inside the container are mapped twice"
            );
            ensure!(
                !overlap(one.host, one.size, other.host, other.size),
                "{flag} {text:?}: ids of the host are mapped twice"
            );
        }
        map.push(one);
    }
    ensure!(
        map.iter().any(|line| line.container == 0),
        "{flag}: id 0 inside the container is not mapped, and its files could not be set up without"
    );
    Ok(map)
}

/// `INSIDE:HOST:COUNT`
fn line(text: &str) -> Result<IdMap> {
    let numbers: Vec<Option<u32>> = text.split(':').map(|number| number.parse().ok()).collect();
    let [Some(container), Some(host), Some(size @ 1..)] = numbers[..] else {
        bail!("three numbers are wanted, INSIDE:HOST:COUNT, and a count of at least 1");
    };
    for first in [container, host] {
        // The last id is no id: it is (uid_t) -1.
        ensure!(u64::from(first) + u64::from(size) <= u64::from(u32::MAX), "it goes beyond the last id");
    }
    Ok(IdMap { container, host, size })
}

fn overlap(one: u32, size: u32, other: u32, other_size: u32) -> bool {
    let end = |first: u32, size: u32| u64::from(first) + u64::from(size);
    u64::from(one) < end(other, other_size) && u64::from(other) < end(one, size)
}

/// Whether an id inside is mapped; without a map, every one is.
pub(crate) fn has(map: &[IdMap], id: u32) -> bool {
    map.is_empty() || map.iter().any(|line| overlap(id, 1, line.container, line.size))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: IdMap = IdMap { container: 0, host: 1 << 31, size: 1 << 20 };

    fn words(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn maps_are_checked_line_by_line() {
        let one = |container, host, size| IdMap { container, host, size };
        let (users, groups) =
            by_hand(&words(&["0:100000:1000", "1000:1000:1", "5000:200000:65536"]), &[], BLOCK).unwrap();
        assert_eq!(users, [one(0, 100_000, 1000), one(1000, 1000, 1), one(5000, 200_000, 65_536)]);
        assert_eq!(groups, users);
        let (users, groups) = by_hand(&[], &words(&["0:7:1"]), BLOCK).unwrap();
        assert_eq!((users, groups), (vec![one(0, 7, 1)], vec![one(0, 7, 1)]));
        for (texts, complaint) in [
            (&["0:0:1"][..], "id 0 of the host"),
            (&["0:1000:10", "10:0:1"], "id 0 of the host"),
            (&["0:1000:10", "5:2000:10"], "inside the container are mapped twice"),
            (&["0:1000:10", "10:1009:1"], "of the host are mapped twice"),
            (&["1:1000:10"], "id 0 inside"),
            (&["0:1000:0"], "at least 1"),
            (&["0:1000"], "INSIDE:HOST:COUNT"),
            (&["0:1000:-1"], "INSIDE:HOST:COUNT"),
            (&["0:4294967295:1"], "beyond the last id"),
            (&["0:2147483648:1"], "gives to containers by itself"),
            (&["0:1000000000:4000000000"], "beyond the last id"),
        ] {
            let error = format!("{:#}", by_hand(&words(texts), &[], BLOCK).unwrap_err());
            assert!(error.contains(complaint), "{texts:?}: {error}");
        }
        assert!(has(&[], 5) && has(&[one(0, 1, 6)], 5) && !has(&[one(0, 1, 5)], 5));
    }
}
