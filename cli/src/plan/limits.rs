//! What a container may use, understood: bounds as docker has them, and what goes together with what. PURE.

use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::request::{PidsLimit, Request};
use super::values;
use crate::commands::flags::{LimitArgs, ResourceArgs};

/// Limits beyond the everyday; every field has a default, so that an older record can be read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Resources {
    /// Bytes.
    pub(crate) memory_reservation: Option<u64>,
    /// 0 to 100.
    pub(crate) memory_swappiness: Option<u64>,
    pub(crate) oom_kill_disable: bool,
    /// µs.
    pub(crate) cpu_rt_period: Option<u64>,
    /// µs a period.
    pub(crate) cpu_rt_runtime: Option<i64>,
    /// `0-2,4`
    pub(crate) cpuset_cpus: Option<String>,
    /// `0-2,4`
    pub(crate) cpuset_mems: Option<String>,
    /// 10 to 1000.
    pub(crate) blkio_weight: Option<u16>,
    pub(crate) blkio_weight_devices: Vec<(PathBuf, u16)>,
    pub(crate) rates: Vec<DiskRate>,
    /// Below the root of every hierarchy, without a slash at its beginning.
    pub(crate) cgroup_parent: Option<PathBuf>,
}

/// So much a second of one disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DiskRate {
    pub(crate) kind: DiskRateKind,
    pub(crate) path: PathBuf,
    pub(crate) rate: u64,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum DiskRateKind {
    ReadBps,
    WriteBps,
    ReadIops,
    WriteIops,
}

/// docker's own limit: with less a container does not even start.
const LEAST_MEMORY: u64 = 6 << 20;

/// What is asked of the limits that can be changed; `None` says nothing about one.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Asked {
    memory: Option<u64>,
    memory_swap: Option<i64>,
    memory_reservation: Option<u64>,
    nano_cpus: Option<u64>,
    cpu_shares: Option<u64>,
    cpu_period: Option<u64>,
    cpu_quota: Option<i64>,
    cpu_rt_period: Option<u64>,
    cpu_rt_runtime: Option<i64>,
    cpuset_cpus: Option<String>,
    cpuset_mems: Option<String>,
    pids: Option<PidsLimit>,
    blkio_weight: Option<u16>,
}

impl Asked {
    /// Understands the flags, each by itself; 0 says nothing, as for docker.
    ///
    /// # Errors
    /// The first value that makes no sense.
    pub(crate) fn new(args: &LimitArgs) -> Result<Asked> {
        ensure!(
            args.kernel_memory.is_none(),
            "--kernel-memory is not supported: the kernel has no such limit any more, what it uses for a container counts as --memory"
        );
        let size = |text: &Option<String>, flag: &'static str| -> Result<Option<u64>> {
            let bytes =
                text.as_deref().map(values::bytes).transpose().context(flag)?.filter(|bytes| *bytes > 0);
            if let Some(bytes) = bytes {
                ensure!(bytes >= LEAST_MEMORY, "{flag}: the least is 6m, {bytes} bytes were asked for");
            }
            Ok(bytes)
        };
        let shares = args.cpu_shares.filter(|shares| *shares != 0);
        ensure!(shares.is_none_or(|shares| (2..=262_144).contains(&shares)), "--cpu-shares: 2 to 262144");
        let list = |text: &Option<String>, flag: &'static str| {
            text.as_deref().map(|text| cpuset(text, flag)).transpose()
        };
        Ok(Asked {
            memory: size(&args.memory, "--memory")?,
            memory_swap: args.memory_swap.as_deref().map(swap).transpose()?.flatten(),
            memory_reservation: size(&args.memory_reservation, "--memory-reservation")?,
            nano_cpus: args
                .cpus
                .as_deref()
                .map(values::cpus)
                .transpose()
                .context("--cpus")?
                .filter(|cpus| *cpus > 0),
            cpu_shares: shares,
            cpu_period: match args.cpu_period {
                Some(period) if period != 0 && !(1000..=1_000_000).contains(&period) => {
                    bail!("--cpu-period {period}: from 1000 to 1000000 µs")
                }
                period => period.filter(|period| *period != 0),
            },
            cpu_quota: match args.cpu_quota {
                Some(quota) if (1..1000).contains(&quota) => bail!("--cpu-quota {quota}: at least 1000 µs"),
                quota => quota.filter(|quota| *quota != 0),
            },
            cpu_rt_period: args.cpu_rt_period.filter(|period| *period != 0),
            cpu_rt_runtime: args.cpu_rt_runtime.filter(|runtime| *runtime != 0),
            cpuset_cpus: list(&args.cpuset_cpus, "--cpuset-cpus")?.flatten(),
            cpuset_mems: list(&args.cpuset_mems, "--cpuset-mems")?.flatten(),
            pids: match args.pids_limit {
                None => None,
                Some(limit) if limit > 0 => Some(PidsLimit::Most(limit)),
                Some(0 | -1) => Some(PidsLimit::None),
                Some(limit) => bail!("--pids-limit {limit}: a positive number, or -1 for no limit"),
            },
            blkio_weight: args
                .blkio_weight
                .filter(|weight| *weight != 0)
                .map(weight)
                .transpose()
                .context("--blkio-weight")?,
        })
    }

    /// Whether nothing is asked for.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Asked::default()
    }

    /// Puts what is asked into a request.
    ///
    /// # Errors
    /// What does not go together, with each other or with what the request has already.
    pub(crate) fn give(&self, request: &mut Request) -> Result<()> {
        self.conflicts(request)?;
        if let (Some(memory), None) = (self.memory, self.memory_swap) {
            keep_swap(request, memory)?;
        }
        let options = &mut request.options;
        let resources = &mut options.resources;
        replace(&mut request.memory, &self.memory);
        replace(&mut options.memory_swap, &self.memory_swap);
        replace(&mut resources.memory_reservation, &self.memory_reservation);
        replace(&mut request.nano_cpus, &self.nano_cpus);
        replace(&mut request.cpu_shares, &self.cpu_shares);
        replace(&mut options.cpu_period, &self.cpu_period);
        replace(&mut options.cpu_quota, &self.cpu_quota);
        replace(&mut resources.cpu_rt_period, &self.cpu_rt_period);
        replace(&mut resources.cpu_rt_runtime, &self.cpu_rt_runtime);
        replace(&mut resources.cpuset_cpus, &self.cpuset_cpus);
        replace(&mut resources.cpuset_mems, &self.cpuset_mems);
        replace(&mut resources.blkio_weight, &self.blkio_weight);
        request.pids = self.pids.unwrap_or(request.pids);
        check(request)
    }

    /// Processors are said in one of two ways.
    fn conflicts(&self, request: &Request) -> Result<()> {
        let (quota, period) = (request.options.cpu_quota.is_some(), request.options.cpu_period.is_some());
        let asked = self.cpu_quota.is_some() || self.cpu_period.is_some();
        ensure!(
            self.nano_cpus.is_none() || !asked,
            "--cpus and --cpu-quota or --cpu-period say the same twice: one of them is enough"
        );
        ensure!(
            self.nano_cpus.is_none() || !(quota || period),
            "--cpus cannot be changed: the container has --cpu-quota or --cpu-period"
        );
        ensure!(
            !asked || request.nano_cpus.is_none(),
            "--cpu-quota and --cpu-period cannot be changed: the container has --cpus"
        );
        Ok(())
    }
}

fn replace<T: Clone>(old: &mut Option<T>, new: &Option<T>) {
    if new.is_some() {
        old.clone_from(new);
    }
}

/// docker's rule for a container that has a limit of memory and gets another: that of memory and swap together stays.
fn keep_swap(request: &mut Request, memory: u64) -> Result<()> {
    let Some(old) = request.memory else { return Ok(()) };
    let default = i64::try_from(old.saturating_mul(2))?;
    let both = *request.options.memory_swap.get_or_insert(default);
    ensure!(
        u64::try_from(both).map_or(true, |both| memory <= both),
        "--memory {memory} is more than the {both} bytes that the container may have of memory and swap together: change \
         --memory-swap too"
    );
    Ok(())
}

/// What limits must be to each other.
fn check(request: &Request) -> Result<()> {
    let resources = &request.options.resources;
    if let Some(both) = request.options.memory_swap.and_then(|both| u64::try_from(both).ok()) {
        let Some(memory) = request.memory else {
            bail!("--memory-swap is memory and swap together: it needs --memory too")
        };
        ensure!(both >= memory, "--memory-swap is memory and swap together: it cannot be less than --memory");
    }
    if let (Some(memory), Some(reservation)) = (request.memory, resources.memory_reservation) {
        ensure!(reservation <= memory, "--memory-reservation {reservation} is more than --memory {memory}");
    }
    if let (Some(runtime), Some(period)) = (resources.cpu_rt_runtime, resources.cpu_rt_period) {
        ensure!(
            u64::try_from(runtime).map_or(true, |runtime| runtime <= period),
            "--cpu-rt-runtime {runtime} is more than --cpu-rt-period {period}"
        );
    }
    Ok(())
}

impl Resources {
    /// Understands what a container is made with and keeps; the rest is [`Asked`].
    ///
    /// # Errors
    /// The first value that makes no sense.
    pub(crate) fn new(args: &ResourceArgs) -> Result<Resources> {
        let rates = [
            ("--device-read-bps", DiskRateKind::ReadBps, &args.device_read_bps),
            ("--device-write-bps", DiskRateKind::WriteBps, &args.device_write_bps),
            ("--device-read-iops", DiskRateKind::ReadIops, &args.device_read_iops),
            ("--device-write-iops", DiskRateKind::WriteIops, &args.device_write_iops),
        ];
        Ok(Resources {
            memory_swappiness: match args.memory_swappiness {
                None | Some(-1) => None,
                Some(value) => Some(
                    u64::try_from(value)
                        .ok()
                        .filter(|value| *value <= 100)
                        .with_context(|| format!("--memory-swappiness {value}: from 0 to 100"))?,
                ),
            },
            oom_kill_disable: args.oom_kill_disable,
            blkio_weight_devices: args
                .blkio_weight_device
                .iter()
                .map(|text| device_weight(text).context("--blkio-weight-device"))
                .collect::<Result<_>>()?,
            rates: rates
                .into_iter()
                .flat_map(|(flag, kind, texts)| texts.iter().map(move |text| rate(text, kind).context(flag)))
                .collect::<Result<_>>()?,
            cgroup_parent: args.cgroup_parent.as_deref().map(cgroup_parent).transpose()?.flatten(),
            ..Resources::default()
        })
    }

    /// The disks that are named.
    pub(crate) fn disks(&self) -> impl Iterator<Item = &Path> {
        let weights = self.blkio_weight_devices.iter().map(|(path, _)| path.as_path());
        weights.chain(self.rates.iter().map(|rate| rate.path.as_path()))
    }
}

/// Bytes of memory and swap together; -1 is unlimited, 0 says nothing.
fn swap(text: &str) -> Result<Option<i64>> {
    if text == "-1" {
        return Ok(Some(-1));
    }
    let bytes = values::bytes(text).context("--memory-swap")?;
    Ok(Some(i64::try_from(bytes)?).filter(|bytes| *bytes > 0))
}

/// `0-2,4` (cpuset(7), "List format"); an empty one says nothing.
fn cpuset(text: &str, flag: &str) -> Result<Option<String>> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |digits: &str| {
            digits.parse::<u32>().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()))
        };
        number(first).zip(number(last)).is_some_and(|(first, last)| first <= last)
    };
    ensure!(
        text.is_empty() || text.split(',').all(range),
        "invalid value {text:?} for {flag}: a list like 0-2,4"
    );
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// Whether a list names only what another one has. PURE.
pub(crate) fn is_within(list: &str, available: &str) -> bool {
    let ranges = |list: &str| {
        let range = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            Some((first.trim().parse::<u32>().ok()?, last.trim().parse::<u32>().ok()?))
        };
        list.split(',').filter_map(range).collect::<Vec<_>>()
    };
    let there = ranges(available);
    // A range may lie in several that touch: number by number, as far as there can be any.
    ranges(list).iter().all(|(first, last)| {
        last - first < 1 << 16
            && (*first..=*last).all(|one| there.iter().any(|(from, to)| (*from..=*to).contains(&one)))
    })
}

fn weight(weight: u16) -> Result<u16> {
    ensure!((10..=1000).contains(&weight), "a weight is from 10 to 1000, {weight} was asked for");
    Ok(weight)
}

/// `DISK:VALUE`
fn of_disk(text: &str) -> Result<(PathBuf, &str)> {
    let (path, value) =
        text.rsplit_once(':').with_context(|| format!("invalid value {text:?}: DISK:NUMBER is wanted"))?;
    ensure!(path.starts_with("/dev/"), "invalid value {text:?}: a disk below /dev is wanted");
    Ok((path.into(), value))
}

fn device_weight(text: &str) -> Result<(PathBuf, u16)> {
    let (path, value) = of_disk(text)?;
    let number = value.parse().ok().with_context(|| format!("invalid weight in {text:?}"))?;
    Ok((path, weight(number)?))
}

fn rate(text: &str, kind: DiskRateKind) -> Result<DiskRate> {
    let (path, value) = of_disk(text)?;
    let rate = match kind {
        DiskRateKind::ReadBps | DiskRateKind::WriteBps => values::bytes(value).ok(),
        DiskRateKind::ReadIops | DiskRateKind::WriteIops => value.parse().ok(),
    };
    let rate = rate.with_context(|| {
        format!("invalid rate in {text:?}: DISK:NUMBER is wanted, of bytes also with kb, mb or gb")
    })?;
    Ok(DiskRate { kind, path, rate })
}

/// A path below the root of every hierarchy, absolute or not; an empty one says nothing.
fn cgroup_parent(text: &str) -> Result<Option<PathBuf>> {
    if text.is_empty() {
        return Ok(None);
    }
    let path = Path::new(text);
    let inside = path.strip_prefix("/").unwrap_or(path);
    let plain = inside.components().all(|part| matches!(part, Component::Normal(_)));
    // Lines of /proc/PID/cgroup and mountinfo end with them.
    let harmless = !text.chars().any(char::is_control);
    ensure!(
        plain && harmless && !inside.as_os_str().is_empty(),
        "--cgroup-parent {text:?} is not a path below the root of the control groups"
    );
    Ok(Some(inside.components().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `mini update FLAGS` asks for.
    fn asked(flags: &[&str]) -> Result<Asked> {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            limits: LimitArgs,
        }
        let words = std::iter::once("x").chain(flags.iter().copied());
        Asked::new(&<Line as clap::Parser>::try_parse_from(words)?.limits)
    }

    fn resources(flags: &[&str]) -> Result<Resources> {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            resources: ResourceArgs,
        }
        let words = std::iter::once("x").chain(flags.iter().copied());
        Resources::new(&<Line as clap::Parser>::try_parse_from(words)?.resources)
    }

    #[test]
    fn each_limit_has_dockers_bounds() {
        for (flag, good, bad) in [
            ("--memory", &["6m", "0", "1g"][..], &["5m", "-1", "x", "1"][..]),
            ("--memory-reservation", &["6m", "0"], &["1k", "-1"]),
            ("--memory-swap", &["-1", "0", "1g"], &["-2", "x"]),
            ("--kernel-memory", &[], &["50m"]),
            ("--cpus", &["0", "0.5"], &["-1", "x"]),
            ("--cpu-shares", &["0", "2", "262144"], &["1", "262145", "-1"]),
            ("--cpu-period", &["0", "1000", "1000000"], &["999", "1000001", "-1"]),
            ("--cpu-quota", &["0", "-1", "1000"], &["1", "999"]),
            ("--cpu-rt-period", &["0", "1000"], &["-1"]),
            ("--cpu-rt-runtime", &["0", "-1", "950"], &["x"]),
            ("--cpuset-cpus", &["", "0", "0-1", "0-1,3"], &["x", "1-0", "-1", "0,", "0--1", "+1", "0-1-2"]),
            ("--cpuset-mems", &["", "0"], &["x"]),
            ("--pids-limit", &["0", "-1", "7"], &["-2", "x"]),
            ("--blkio-weight", &["0", "10", "1000"], &["9", "1001", "-1", "99999"]),
        ] {
            for value in good {
                assert!(asked(&[&format!("{flag}={value}")]).is_ok(), "{flag}={value}");
            }
            for value in bad {
                let error = asked(&[&format!("{flag}={value}")]).unwrap_err();
                assert!(format!("{error:#}").contains(flag), "{flag}={value}: {error:#}");
            }
        }
        assert!(asked(&["--memory=0", "--cpus=0"]).unwrap().is_empty());
    }

    #[test]
    fn what_stays_with_a_container_has_bounds_too() {
        for (flag, good, bad) in [
            ("--memory-swappiness", &["-1", "0", "100"][..], &["-2", "101", "x"][..]),
            (
                "--blkio-weight-device",
                &["/dev/sda:10", "/dev/a:b:1000"],
                &["/dev/sda", "/dev/sda:9", "sda:10", "/dev/sda:x"],
            ),
            (
                "--device-read-bps",
                &["/dev/sda:1mb", "/dev/sda:0"],
                &["/dev/sda:-1", "/dev/sda:1xb", "/sda:1"],
            ),
            ("--device-write-bps", &["/dev/sda:1024"], &["/dev/sda:"]),
            ("--device-read-iops", &["/dev/sda:100"], &["/dev/sda:1k", ":1"]),
            ("--device-write-iops", &["/dev/sda:100"], &["/dev/sda:-1"]),
            ("--cgroup-parent", &["a", "/a/b", "/a//b/", ""], &["/", "..", "/a/../b", "./a", "a\nb"]),
        ] {
            for value in good {
                assert!(resources(&[&format!("{flag}={value}")]).is_ok(), "{flag}={value}");
            }
            for value in bad {
                let error = resources(&[&format!("{flag}={value}")]).unwrap_err();
                assert!(format!("{error:#}").contains(flag), "{flag}={value}: {error:#}");
            }
        }
        let parent = |text: &str| resources(&["--cgroup-parent", text]).unwrap().cgroup_parent;
        assert_eq!(parent("/a//b/"), Some("a/b".into()));
        assert_eq!(resources(&["--device-read-bps=/dev/sda:1mb"]).unwrap().rates[0].rate, 1 << 20);
    }

    #[test]
    fn lists_are_compared_number_by_number() {
        for (list, available, expected) in [
            ("0", "0-3", true),
            ("0-3", "0-3", true),
            ("1,3", "0-1,3", true),
            ("0-3", "0-1,2-3", true),
            ("2", "0-1,3", false),
            ("0-4", "0-3", false),
            ("0-4294967295", "0-3", false),
        ] {
            assert_eq!(is_within(list, available), expected, "{list} in {available}");
        }
    }
}
