//! A range of host ids that belongs to one container as long as it runs.
//!
//! A lease is a file named after the range, with an flock: it vanishes with whoever holds it. Where to look first is chosen by
//! the container's id, so the first one tried is nearly always free.
//!
//! Who takes a range finds out by an exclusive lock that nobody has it, and keeps a shared one: containers that join its user
//! namespace hold the range too, and may outlive it. The last one removes the file.
//!
//! Where no view of a file's ids can be shifted, one range is that of volumes ([`Volumes`]): the containers that have some share it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use runtime::idmap;
use runtime::op::{OpError, step};
use runtime::plan::IdMap;
use runtime::sys;

use crate::config::IdsConfig;

/// Ids in one range.
pub(crate) const RANGE: u32 = 1 << 16;

/// The most lines that the kernel takes in an id map (user_namespaces(7), Linux 4.15).
const MOST_LINES: usize = 340;

/// No range is left.
#[derive(Debug, thiserror::Error)]
#[error("all {slots} ranges of ids from {base} on are taken")]
pub(crate) struct Exhausted {
    slots: u32,
    base: u32,
}

/// Where mini itself is in a user namespace, it can give only what that one has.
#[derive(Debug, thiserror::Error)]
#[error("this user namespace has no range of 65536 ids from {base} on that a container could get")]
pub(crate) struct Unmapped {
    base: u32,
}

/// Whose the files of volumes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Volumes {
    /// Each container sees them as its own: the view is shifted.
    Shifted,
    /// They have ids of their range on the disk, and this container has none of them: it is given another range.
    Others,
    /// They have ids of their range on the disk, and this container gets that one.
    Own,
}

/// A container's ranges, while this lives here or in a process forked from this one.
#[derive(Debug)]
pub(crate) struct IdLease {
    /// First host id of each range.
    pub(crate) bases: Vec<u32>,
    files: Vec<(PathBuf, OwnedFd)>,
}

impl IdLease {
    /// Takes a range, and a second one where the image has ids beyond 65535. The first may be that of volumes.
    ///
    /// # Errors
    /// Where all ranges are taken, or a file cannot be made.
    pub(crate) fn take(
        config: &IdsConfig,
        directory: &Path,
        container: &str,
        extra: bool,
        volumes: Volumes,
    ) -> Result<IdLease> {
        step("Lease a range of ids that no user and no other container has");
        let (taken, mapped) = (taken_by_host(), mapped());
        let is_mapped = |base: u32| {
            mapped
                .iter()
                .any(|(first, count)| base >= *first && *count >= RANGE && base - first <= count - RANGE)
        };
        let is_users =
            |base: u32| taken.iter().any(|(first, count)| overlaps((base, RANGE), (*first, *count)));
        let (slots, of_volumes) = (config.count / RANGE, volumes_base(config));
        let first = first_slot(slots, container);
        let mut lease = IdLease { bases: Vec::new(), files: Vec::new() };
        let mut any = false;
        if volumes == Volumes::Own {
            ensure!(
                is_mapped(of_volumes) && !is_users(of_volumes),
                "the range of ids that volumes have, from {of_volumes} on, is given to a user of this host, or not there: \
                 change ids.base or ids.count in /etc/mini/config.toml"
            );
            lease.join(directory, of_volumes)?;
            if !extra {
                return Ok(lease);
            }
        }
        for slot in (first..slots).chain(0..first) {
            let base = config.base + slot * RANGE;
            // Were it the only one, it would be everybody's.
            if volumes != Volumes::Shifted && base == of_volumes && slots > 1 {
                continue;
            }
            any |= is_mapped(base);
            if is_users(base) || !is_mapped(base) {
                continue;
            }
            let path = directory.join(base.to_string());
            let locked = lock(&path, b"").context("cannot lease a range of ids")?;
            if let Some(file) = locked.filter(keep) {
                lease.bases.push(base);
                lease.files.push((path, file));
                if lease.bases.len() == 1 + usize::from(extra) {
                    return Ok(lease);
                }
            }
        }
        let base = config.base;
        if any { Err(Exhausted { slots, base }.into()) } else { Err(Unmapped { base }.into()) }
    }

    /// Holds a range together with everybody else who does, whether anybody does by now or not.
    fn join(&mut self, directory: &Path, base: u32) -> Result<()> {
        step(
            "Hold the range of ids that the files of volumes have, together with other containers that have some",
        );
        let path = directory.join(base.to_string());
        let file = loop {
            let alone = lock(&path, VOLUMES).context("cannot lease the range of ids that volumes have")?;
            if let Some(file) = alone.filter(keep) {
                break file;
            }
            match sys::lock::try_lock_shared(&path) {
                Err(error) if error.errno() == libc::ENOENT => {}
                Ok(Some(file)) if !sys::fs::is_unlinked(&file) => break file,
                // Somebody takes it or gives it back, which takes no time.
                Ok(_) => std::thread::yield_now(),
                Err(error) => return Err(error).context("cannot hold the range of ids that volumes have"),
            }
        };
        let says = std::fs::read(&path).context("cannot read the lease of the range that volumes have")?;
        ensure!(
            says == VOLUMES,
            "the range of ids that volumes have, from {base} on, is held by a container of another root: \
             this one can run when that one has ended"
        );
        self.bases.push(base);
        self.files.push((path, file));
        Ok(())
    }

    /// Holds the ranges of a container whose user namespace is joined, as long as this lives; none where its map is no lease.
    ///
    /// Whether that container still runs must be asked afterwards: from then on nobody else is given its ranges.
    ///
    /// # Errors
    /// Where it has given them back, or a file cannot be locked.
    pub(crate) fn share(directory: &Path, map: &[IdMap]) -> Result<Option<IdLease>> {
        step("Hold the other container's range of ids too: it may end before this one");
        let mut lease = IdLease { bases: Vec::new(), files: Vec::new() };
        for base in bases_of(map) {
            let path = directory.join(base.to_string());
            let locked = match sys::lock::try_lock_shared(&path) {
                Err(error) if error.errno() == libc::ENOENT => continue,
                other => other.context("cannot hold a range of ids")?,
            };
            match locked.filter(|file| !sys::fs::is_unlinked(file)) {
                Some(file) => {
                    lease.bases.push(base);
                    lease.files.push((path, file));
                }
                None => bail!("the range of ids from {base} on is being given back"),
            }
        }
        Ok((!lease.files.is_empty()).then_some(lease))
    }

    /// First id, file and lock of each range.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = (u32, &Path, BorrowedFd<'_>)> {
        self.bases.iter().zip(&self.files).map(|(base, (path, lock))| (*base, path.as_path(), lock.as_fd()))
    }

    /// The lease that locks hold which another program of this process took.
    pub(crate) fn inherit(ranges: Vec<(u32, PathBuf, OwnedFd)>) -> IdLease {
        let (bases, files) = ranges.into_iter().map(|(base, path, lock)| (base, (path, lock))).unzip();
        IdLease { bases, files }
    }

    /// Gives the ranges back; the last holder of one leaves no file behind.
    ///
    /// # Errors
    /// What the kernel answered; the ranges are free all the same.
    pub(crate) fn release(self) -> Result<(), OpError> {
        let mut first = Ok(());
        for (path, file) in &self.files {
            // Removed while still locked, and by nobody else: who finds it locked must not find it gone.
            first = first.and(match sys::lock::change_lock(file.as_fd(), true) {
                Ok(true) => sys::fs::remove_file(path),
                other => other.map(drop),
            });
        }
        first
    }
}

/// The first host ids of the two ranges that a container is given where nobody has them. PURE.
pub(crate) fn first_choices(config: &IdsConfig, container: &str, volumes: Volumes) -> [u32; 2] {
    let slots = config.count / RANGE;
    let first = first_slot(slots, container);
    let mut bases = (first..slots).chain(0..slots).map(|slot| config.base + slot * RANGE);
    let mut next = || match bases.next() {
        Some(base) if volumes != Volumes::Shifted && base == volumes_base(config) => bases.next(),
        base => base,
    };
    let other = if volumes == Volumes::Own { Some(volumes_base(config)) } else { next() };
    // Where there is one range alone, both are that one: it cannot be taken twice, and that is told by who takes it.
    [other, next()].map(|base| base.unwrap_or(config.base))
}

/// The first host id of the range that volumes have where no view of them can be shifted: the last range of all. PURE.
fn volumes_base(config: &IdsConfig) -> u32 {
    config.base + (config.count / RANGE - 1) * RANGE
}

/// Where to look first for a range: nearly always free, and the same at each start.
fn first_slot(slots: u32, container: &str) -> u32 {
    u32::from_str_radix(&container[..8], 16).unwrap_or(0) % slots
}

/// The container's id map: one range for 0 to 65535, and a line for each id beyond that an image's files have. PURE.
///
/// # Errors
/// Where there are more than the kernel takes.
pub(crate) fn map(bases: &[u32], high: &[(u32, &str)]) -> Result<Vec<IdMap>> {
    let Some(base) = bases.first() else { bail!("no range of ids is leased") };
    let mut map = vec![IdMap { container: 0, host: *base, size: RANGE }];
    let mut high: Vec<(u32, &str)> = high.iter().copied().filter(|(id, _)| *id >= RANGE).collect();
    high.sort_unstable();
    high.dedup_by_key(|(id, _)| *id);
    if let Some((id, file)) = high.get(MOST_LINES - 1) {
        bail!(
            "the image's files have {} different ids beyond 65535, and the kernel maps {} at most: one too many is {id}, \
             of /{file}",
            high.len(),
            MOST_LINES - 1
        );
    }
    for (offset, (id, _)) in high.iter().enumerate() {
        let Some(extra) = bases.get(1) else { bail!("id {id} needs a second range, and none is leased") };
        let offset = u32::try_from(offset).expect("fewer than 340 lines");
        map.push(IdMap { container: *id, host: extra + offset, size: 1 });
    }
    Ok(map)
}

/// The ranges that a map of [`map`]'s was made of. PURE.
fn bases_of(map: &[IdMap]) -> Vec<u32> {
    let whole = map.iter().filter(|line| line.size == RANGE).map(|line| line.host);
    whole.chain(map.iter().find(|line| line.size == 1).map(|line| line.host)).collect()
}

/// What is in the file of the range of volumes; that of a container's own range is empty.
const VOLUMES: &[u8] = b"volumes\n";

/// Locks a range's file, which says `content` then; `None` where somebody else has it.
fn lock(path: &Path, content: &[u8]) -> Result<Option<OwnedFd>, OpError> {
    loop {
        let mut is_new = true;
        match sys::fs::create_new(path, content, 0o600) {
            Err(error) if error.errno() == libc::ENOENT => {
                sys::fs::make_dirs(path.parent().unwrap_or(path))?;
                continue;
            }
            Err(error) if error.errno() == libc::EEXIST => is_new = false,
            other => other?,
        }
        match sys::fs::try_lock(path) {
            // Its last holder removed it between our two calls: make it again.
            Err(error) if error.errno() == libc::ENOENT => {}
            Ok(Some(file)) if sys::fs::is_unlinked(&file) => {}
            Ok(Some(file)) => {
                if !is_new {
                    sys::fs::write_for(path, content, 0o600, 0, 0)?;
                }
                return Ok(Some(file));
            }
            other => return other,
        }
    }
}

/// Lets others hold a range too; false where somebody was faster, and the lock is lost then.
fn keep(file: &OwnedFd) -> bool {
    sys::lock::change_lock(file.as_fd(), false).unwrap_or(false)
}

/// Ids that mini's own user namespace has: (first, count). All where that cannot be read.
fn mapped() -> Vec<(u32, u32)> {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let lines: Vec<_> = idmap::parse(&map).iter().map(|line| (line.container, line.size)).collect();
    if lines.is_empty() { vec![(0, u32::MAX)] } else { lines }
}

/// Ids that the host's users, or ranges given to them, have: (first, count).
fn taken_by_host() -> Vec<(u32, u32)> {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let mut taken = users(&read("/etc/passwd"));
    taken.extend(ranges(&read("/etc/subuid")));
    taken.extend(ranges(&read("/etc/subgid")));
    taken
}

/// passwd(5). PURE.
fn users(passwd: &str) -> Vec<(u32, u32)> {
    passwd.lines().filter_map(|line| Some((line.split(':').nth(2)?.parse().ok()?, 1))).collect()
}

/// subuid(5). PURE.
fn ranges(subuid: &str) -> Vec<(u32, u32)> {
    let parse = |line: &str| {
        let mut fields = line.split(':').skip(1);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    subuid.lines().filter_map(parse).collect()
}

fn overlaps(one: (u32, u32), other: (u32, u32)) -> bool {
    let end = |(first, count): (u32, u32)| u64::from(first) + u64::from(count);
    u64::from(one.0) < end(other) && u64::from(other.0) < end(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn high_ids_get_a_line_each() {
        let line = |container, host, size| IdMap { container, host, size };
        assert_eq!(map(&[1 << 31], &[]).unwrap(), [line(0, 1 << 31, RANGE)]);
        assert_eq!(
            map(&[1 << 31, 1 << 20], &[(70_000, "a"), (0, "b"), (65_536, "c"), (70_000, "d")]).unwrap(),
            [line(0, 1 << 31, RANGE), line(65_536, 1 << 20, 1), line(70_000, (1 << 20) + 1, 1)]
        );
        let many: Vec<(u32, &str)> = (0..340).map(|n| (RANGE + n, "x")).collect();
        let error = map(&[1 << 31, 1 << 20], &many).unwrap_err().to_string();
        assert!(error.contains("340 different ids") && error.contains("65875, of /x"), "{error}");
    }

    #[test]
    fn ranges_of_the_hosts_users_are_left_alone() {
        assert_eq!(users("root:x:0:0::/root:/bin/sh\nbad\nu:x:1000:1000::/:/bin/sh\n"), [(0, 1), (1000, 1)]);
        assert_eq!(ranges("u:100000:65536\nbad\nv:165536:65536\n"), [(100_000, 65_536), (165_536, 65_536)]);
        for (one, other, expected) in [
            ((100, 10), (110, 5), false),
            ((100, 10), (109, 5), true),
            ((110, 5), (100, 11), true),
            ((u32::MAX - 5, 6), (u32::MAX, 1), true),
        ] {
            assert_eq!(overlaps(one, other), expected, "{one:?} {other:?}");
        }
    }

    #[test]
    fn a_range_has_one_holder_and_is_free_again_when_that_one_goes() {
        let directory = tempfile::tempdir().unwrap();
        let config = IdsConfig { base: 3_000_000_000, count: 2 * RANGE };
        let take = |extra| {
            IdLease::take(&config, &directory.path().join("ids"), &"0".repeat(64), extra, Volumes::Shifted)
        };
        let first = take(false).unwrap();
        let second = take(false).unwrap();
        assert_eq!((first.bases[0], second.bases[0]), (3_000_000_000, 3_000_065_536));
        assert!(take(false).unwrap_err().to_string().contains("all 2 ranges"));
        drop(first);
        assert!(take(true).is_err(), "one is free, two were asked for");
        assert_eq!(take(false).unwrap().bases, [3_000_000_000]);
        second.release().unwrap();
        assert_eq!(take(true).unwrap().bases, [3_000_000_000, 3_000_065_536]);
    }

    #[test]
    fn a_shared_range_is_free_when_its_last_holder_goes() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path().join("ids");
        let config = IdsConfig { base: 3_000_000_000, count: RANGE };
        let take = || IdLease::take(&config, &directory, &"0".repeat(64), false, Volumes::Shifted);
        let owner = take().unwrap();
        let map = map(&owner.bases, &[]).unwrap();
        let other = IdLease::share(&directory, &map).unwrap().unwrap();
        assert_eq!(other.bases, owner.bases);
        owner.release().unwrap();
        assert!(take().is_err(), "somebody holds it still");
        other.release().unwrap();
        assert!(!directory.join("3000000000").exists(), "the last one leaves no file");
        assert!(IdLease::share(&directory, &map).unwrap().is_none());
        assert!(take().is_ok());
        assert_eq!(bases_of(&super::map(&[1, 2], &[(RANGE, "a")]).unwrap()), [1, 2]);
    }
    #[test]
    fn containers_with_volumes_share_one_range_and_no_other_container_of_their_root_gets_it() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path().join("ids");
        let config = IdsConfig { base: 3_000_000_000, count: 3 * RANGE };
        let bases = [0, 1, 2].map(|slot| 3_000_000_000 + slot * RANGE);
        let container = "00000002".repeat(8);
        let take = |extra, volumes| IdLease::take(&config, &directory, &container, extra, volumes);
        let foreseen = |volumes| first_choices(&config, &container, volumes);
        let one = take(false, Volumes::Own).unwrap();
        let other = take(true, Volumes::Own).unwrap();
        assert_eq!((&one.bases[..], &other.bases[..]), (&bases[2..], &[bases[2], bases[0]][..]));
        assert_eq!(foreseen(Volumes::Own), [bases[2], bases[0]]);
        let third = take(false, Volumes::Others).unwrap();
        assert_eq!((third.bases[0], foreseen(Volumes::Others)), (bases[1], [bases[0], bases[1]]));
        assert!(take(false, Volumes::Others).is_err(), "the last range is that of volumes");
        one.release().unwrap();
        other.release().unwrap();
        // Somebody's who knows nothing of volumes.
        let stranger = take(false, Volumes::Shifted).unwrap();
        assert_eq!((stranger.bases[0], foreseen(Volumes::Shifted)), (bases[2], [bases[2], bases[0]]));
        let error = take(false, Volumes::Own).unwrap_err().to_string();
        assert!(error.contains("held by a container of another root"), "{error}");
        drop(stranger);
        // Its file is left, as by a machine that was killed.
        assert_eq!(take(false, Volumes::Own).unwrap().bases, [bases[2]]);
        assert_eq!(std::fs::read(directory.join(bases[2].to_string())).unwrap(), VOLUMES);
        assert_eq!(take(false, Volumes::Shifted).unwrap().bases, [bases[2]]);
        assert_eq!(std::fs::read(directory.join(bases[2].to_string())).unwrap(), b"");
    }
}
