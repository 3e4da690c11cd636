//! Capabilities: which of root's powers a container gets.
//!
//! Linux cuts root's power into 41 capabilities (capabilities(7)). A container gets docker's fourteen unless
//! it asks for others; what it asks is worked out here, as plain values, and the kernel is told elsewhere.
//! The capabilities themselves are `oci_spec`'s; this file knows their kernel numbers, holds sets of them as
//! one integer, as the kernel does, and carries out `--cap-add` and `--cap-drop` exactly as docker does.

use std::fmt;

use oci_spec::runtime::{Capabilities, Capability, LinuxCapabilities};
use serde::{Deserialize, Serialize};

/// The set that a container gets: docker's fourteen, changed by `--cap-add`, `--cap-drop` and `--privileged`.
///
/// The rules are those of moby's `caps.TweakCapabilities`:
/// - privileged: everything available; the two lists are not even looked at;
/// - `--cap-add ALL`: everything available but the names in `drop`;
/// - `--cap-drop ALL`: only the names in `add`;
/// - otherwise the fourteen, less `drop`, plus `add`: adding wins over dropping.
///
/// `available` is what can be granted at all: [`CapSet::ALL`] inside a user namespace of the container's own,
/// our own bounding set otherwise. A name asked for that is not available is an error; one of the fourteen is
/// left out, as runc does.
///
/// # Errors
/// A name that is no capability, or that is not available here.
pub fn grant<S: AsRef<str>>(
    add: &[S],
    drop: &[S],
    privileged: bool,
    available: CapSet,
) -> Result<CapSet, CapabilityError> {
    if privileged {
        return Ok(available);
    }
    // docker checks the names in this order, so of two mistakes the same one is reported.
    let drop = Request::parse(drop, available)?;
    let add = Request::parse(add, available)?;
    let granted = if add.all {
        available.minus(drop.named)
    } else if drop.all {
        add.named
    } else {
        CapSet::DOCKER.minus(drop.named).plus(add.named)
    };
    Ok(granted.intersection(available))
}

/// A capability name that cannot be granted or dropped.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CapabilityError {
    /// No such capability; the nearest name, where one is near.
    #[error("unknown capability {name:?}{}", DidYouMean(.near))]
    Unknown {
        /// The name as the user wrote it.
        name: String,
        /// The name that was probably meant.
        near: Option<&'static str>,
    },
    /// A capability that the kernel, or the environment that we run in, does not have.
    #[error(
        "capability {name} is not available here: neither the kernel nor our own bounding set can grant it"
    )]
    Unavailable {
        /// Its name, with `CAP_`.
        name: &'static str,
    },
}

/// A set of capabilities, as the kernel holds it: bit n is capability number n.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CapSet(u64);

impl CapSet {
    /// No capability.
    pub const EMPTY: CapSet = CapSet(0);
    /// Every capability of Linux 5.9 and later (CAP_LAST_CAP is 40).
    pub const ALL: CapSet = CapSet((1 << KERNEL_ORDER.len()) - 1);
    /// The fourteen that docker gives to a container by default (moby `daemon/pkg/oci/caps/defaults.go`).
    pub const DOCKER: CapSet = CapSet::of(&[
        Capability::Chown,
        Capability::DacOverride,
        Capability::Fsetid,
        Capability::Fowner,
        Capability::Mknod,
        Capability::NetRaw,
        Capability::Setgid,
        Capability::Setuid,
        Capability::Setfcap,
        Capability::Setpcap,
        Capability::NetBindService,
        Capability::SysChroot,
        Capability::Kill,
        Capability::AuditWrite,
    ]);

    /// The set of these.
    pub const fn of(capabilities: &[Capability]) -> CapSet {
        let mut bits = 0;
        let mut index = 0;
        while index < capabilities.len() {
            bits |= 1 << number(capabilities[index]);
            index += 1;
        }
        CapSet(bits)
    }

    /// A set from the kernel's bits (capget(2), `/proc/PID/status`); bits of capabilities newer than these
    /// are dropped.
    pub const fn from_bits(bits: u64) -> CapSet {
        CapSet(bits & CapSet::ALL.0)
    }

    /// The kernel's bits, as capset(2) takes them in two halves.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether `capability` is in the set.
    pub const fn contains(self, capability: Capability) -> bool {
        self.0 & 1 << number(capability) != 0
    }

    /// What is in either.
    #[must_use]
    pub const fn plus(self, other: CapSet) -> CapSet {
        CapSet(self.0 | other.0)
    }

    /// What is in this set and not in the other.
    #[must_use]
    pub const fn minus(self, other: CapSet) -> CapSet {
        CapSet(self.0 & !other.0)
    }

    /// What is in both.
    #[must_use]
    pub const fn intersection(self, other: CapSet) -> CapSet {
        CapSet(self.0 & other.0)
    }

    /// The members, by number.
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        KERNEL_ORDER
            .iter()
            .enumerate()
            .filter(move |(bit, _)| self.0 & 1 << bit != 0)
            .map(|(_, (capability, _))| *capability)
    }
}

impl fmt::Debug for CapSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(name)).finish()
    }
}

impl FromIterator<Capability> for CapSet {
    fn from_iter<I: IntoIterator<Item = Capability>>(capabilities: I) -> CapSet {
        capabilities.into_iter().fold(CapSet::EMPTY, |set, capability| set.plus(CapSet::of(&[capability])))
    }
}

/// What a specification says: bounding, effective and permitted alike, nothing inheritable, nothing ambient.
///
/// A process with inheritable capabilities that executes a file with inheritable file capabilities gains them
/// even as an unprivileged user, which no container expects (CVE-2022-29162, CVE-2022-27650).
impl From<CapSet> for LinuxCapabilities {
    fn from(set: CapSet) -> LinuxCapabilities {
        let names = || Some(set.iter().collect::<Capabilities>());
        // The type's own default holds three capabilities in all five sets: every field is overwritten.
        let mut capabilities = LinuxCapabilities::default();
        capabilities.set_bounding(names()).set_effective(names()).set_permitted(names());
        capabilities.set_inheritable(None).set_ambient(None);
        capabilities
    }
}

/// The five sets of a process, as a specification asks for them: policy, taken as it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CapSets {
    /// The limit of what an execve(2) can ever gain.
    pub bounding: CapSet,
    /// What is in force.
    pub effective: CapSet,
    /// What may be put in force.
    pub permitted: CapSet,
    /// What survives an execve(2) of a file with the same inheritable capabilities; empty unless a
    /// specification insists.
    pub inheritable: CapSet,
    /// What survives an execve(2) of any file; empty unless a specification insists.
    pub ambient: CapSet,
}

impl From<&LinuxCapabilities> for CapSets {
    fn from(spec: &LinuxCapabilities) -> CapSets {
        let set = |names: &Option<Capabilities>| names.iter().flatten().copied().collect();
        CapSets {
            bounding: set(spec.bounding()),
            effective: set(spec.effective()),
            permitted: set(spec.permitted()),
            inheritable: set(spec.inheritable()),
            ambient: set(spec.ambient()),
        }
    }
}

/// A capability by its name: with or without `CAP_`, in any case.
///
/// # Errors
/// A name that is no capability.
pub fn parse(name: &str) -> Result<Capability, CapabilityError> {
    let bare = bare(name);
    match KERNEL_ORDER.iter().find(|(_, full)| full["CAP_".len()..] == bare) {
        Some((capability, _)) => Ok(*capability),
        None => Err(CapabilityError::Unknown { name: name.to_owned(), near: nearest(&bare) }),
    }
}

/// The name with `CAP_`, in capitals.
pub fn name(capability: Capability) -> &'static str {
    KERNEL_ORDER[number(capability) as usize].1
}

/// The kernel's number (linux/capability.h).
pub const fn number(capability: Capability) -> u32 {
    let mut number = 0;
    while KERNEL_ORDER[number].0 as u8 != capability as u8 {
        number += 1;
    }
    number as u32
}

/// The names of one `--cap-add` or `--cap-drop` list.
struct Request {
    all: bool,
    named: CapSet,
}

impl Request {
    fn parse<S: AsRef<str>>(names: &[S], available: CapSet) -> Result<Request, CapabilityError> {
        let mut request = Request { all: false, named: CapSet::EMPTY };
        for name in names.iter().map(AsRef::as_ref) {
            if name.eq_ignore_ascii_case("ALL") {
                request.all = true;
                continue;
            }
            let capability = parse(name)?;
            if !available.contains(capability) {
                return Err(CapabilityError::Unavailable { name: self::name(capability) });
            }
            request.named = request.named.plus(CapSet::of(&[capability]));
        }
        Ok(request)
    }
}

struct DidYouMean<'a>(&'a Option<&'static str>);

impl fmt::Display for DidYouMean<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |near| write!(f, ", did you mean {near}"))
    }
}

fn bare(name: &str) -> String {
    let upper = name.to_ascii_uppercase();
    upper.strip_prefix("CAP_").map_or(upper.clone(), str::to_owned)
}

/// The capability whose name takes the fewest edits, if they are at most a third of the letters.
fn nearest(bare: &str) -> Option<&'static str> {
    let distances = KERNEL_ORDER.iter().map(|(_, full)| (edits(bare, &full["CAP_".len()..]), *full));
    let (distance, full) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= bare.len().div_ceil(3)).then_some(full)
}

/// How many letters must be inserted, removed or replaced to make one word the other (Levenshtein).
fn edits(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

/// All capabilities; the index is the kernel's number (linux/capability.h).
const KERNEL_ORDER: [(Capability, &str); 41] = [
    (Capability::Chown, "CAP_CHOWN"),
    (Capability::DacOverride, "CAP_DAC_OVERRIDE"),
    (Capability::DacReadSearch, "CAP_DAC_READ_SEARCH"),
    (Capability::Fowner, "CAP_FOWNER"),
    (Capability::Fsetid, "CAP_FSETID"),
    (Capability::Kill, "CAP_KILL"),
    (Capability::Setgid, "CAP_SETGID"),
    (Capability::Setuid, "CAP_SETUID"),
    (Capability::Setpcap, "CAP_SETPCAP"),
    (Capability::LinuxImmutable, "CAP_LINUX_IMMUTABLE"),
    (Capability::NetBindService, "CAP_NET_BIND_SERVICE"),
    (Capability::NetBroadcast, "CAP_NET_BROADCAST"),
    (Capability::NetAdmin, "CAP_NET_ADMIN"),
    (Capability::NetRaw, "CAP_NET_RAW"),
    (Capability::IpcLock, "CAP_IPC_LOCK"),
    (Capability::IpcOwner, "CAP_IPC_OWNER"),
    (Capability::SysModule, "CAP_SYS_MODULE"),
    (Capability::SysRawio, "CAP_SYS_RAWIO"),
    (Capability::SysChroot, "CAP_SYS_CHROOT"),
    (Capability::SysPtrace, "CAP_SYS_PTRACE"),
    (Capability::SysPacct, "CAP_SYS_PACCT"),
    (Capability::SysAdmin, "CAP_SYS_ADMIN"),
    (Capability::SysBoot, "CAP_SYS_BOOT"),
    (Capability::SysNice, "CAP_SYS_NICE"),
    (Capability::SysResource, "CAP_SYS_RESOURCE"),
    (Capability::SysTime, "CAP_SYS_TIME"),
    (Capability::SysTtyConfig, "CAP_SYS_TTY_CONFIG"),
    (Capability::Mknod, "CAP_MKNOD"),
    (Capability::Lease, "CAP_LEASE"),
    (Capability::AuditWrite, "CAP_AUDIT_WRITE"),
    (Capability::AuditControl, "CAP_AUDIT_CONTROL"),
    (Capability::Setfcap, "CAP_SETFCAP"),
    (Capability::MacOverride, "CAP_MAC_OVERRIDE"),
    (Capability::MacAdmin, "CAP_MAC_ADMIN"),
    (Capability::Syslog, "CAP_SYSLOG"),
    (Capability::WakeAlarm, "CAP_WAKE_ALARM"),
    (Capability::BlockSuspend, "CAP_BLOCK_SUSPEND"),
    (Capability::AuditRead, "CAP_AUDIT_READ"),
    (Capability::Perfmon, "CAP_PERFMON"),
    (Capability::Bpf, "CAP_BPF"),
    (Capability::CheckpointRestore, "CAP_CHECKPOINT_RESTORE"),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The default bits as `docker run busybox grep CapBnd /proc/self/status` shows them.
    const DOCKER_BITS: u64 = 0xa804_25fb;

    fn set(names: &str) -> CapSet {
        names.split_whitespace().map(|name| parse(name).unwrap()).collect()
    }

    #[test]
    fn every_capability_has_its_number_and_its_name() {
        for (index, (capability, full)) in KERNEL_ORDER.iter().enumerate() {
            assert_eq!(number(*capability) as usize, index, "{full}");
            assert_eq!(name(*capability), *full);
            assert_eq!(serde_json::to_value(capability).unwrap(), *full, "oci_spec writes it so");
            for spelled in [full.to_string(), full.to_lowercase(), full["CAP_".len()..].to_owned()] {
                assert_eq!(parse(&spelled), Ok(*capability), "{spelled}");
            }
        }
        let last: usize =
            std::fs::read_to_string("/proc/sys/kernel/cap_last_cap").unwrap().trim().parse().unwrap();
        assert!(last >= KERNEL_ORDER.len() - 1, "the kernel knows {last} capabilities, fewer than we do");
    }

    #[test]
    fn dockers_fourteen_are_the_bits_that_docker_shows() {
        assert_eq!(CapSet::DOCKER.bits(), DOCKER_BITS);
        assert_eq!(CapSet::DOCKER.iter().count(), 14);
        assert_eq!(CapSet::ALL.bits(), 0x1ff_ffff_ffff);
        assert_eq!(CapSet::from_bits(u64::MAX), CapSet::ALL);
    }

    #[test]
    fn adding_and_dropping_follow_docker() {
        let docker = CapSet::DOCKER;
        let cases: &[(&str, &str, CapSet)] = &[
            ("", "", docker),
            ("NET_ADMIN", "", docker.plus(set("NET_ADMIN"))),
            ("cap_net_admin sys_time", "", docker.plus(set("NET_ADMIN SYS_TIME"))),
            ("", "chown CAP_Kill", docker.minus(set("CHOWN KILL"))),
            ("", "NET_ADMIN", docker),
            ("CHOWN", "CHOWN", docker),
            ("NET_ADMIN", "NET_ADMIN", docker.plus(set("NET_ADMIN"))),
            ("ALL", "", CapSet::ALL),
            ("all", "SYS_ADMIN", CapSet::ALL.minus(set("SYS_ADMIN"))),
            ("ALL CHOWN", "CHOWN", CapSet::ALL.minus(set("CHOWN"))),
            ("", "ALL", CapSet::EMPTY),
            ("CHOWN", "All", set("CHOWN")),
            ("CHOWN", "ALL CHOWN", set("CHOWN")),
            ("ALL", "ALL", CapSet::ALL),
        ];
        for (add, drop, expected) in cases {
            let words = |list: &str| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            let granted = grant(&words(add), &words(drop), false, CapSet::ALL);
            assert_eq!(granted, Ok(*expected), "--cap-add {add:?} --cap-drop {drop:?}");
        }
    }

    #[test]
    fn privileged_gets_everything_available_and_looks_at_no_list() {
        let available = CapSet::ALL.minus(set("SYS_RESOURCE"));
        assert_eq!(grant(&["nonsense"], &["ALL"], true, available), Ok(available));
    }

    #[test]
    fn what_is_not_available_is_refused_by_name_and_left_out_of_the_defaults() {
        let available = CapSet::ALL.minus(set("SYS_RESOURCE AUDIT_WRITE"));
        let unavailable = Err(CapabilityError::Unavailable { name: "CAP_SYS_RESOURCE" });
        assert_eq!(grant(&["sys_resource"], &[], false, available), unavailable);
        assert_eq!(grant(&[], &["sys_resource"], false, available), unavailable, "docker checks both lists");
        assert_eq!(grant::<&str>(&[], &[], false, available), Ok(CapSet::DOCKER.minus(set("AUDIT_WRITE"))));
        assert_eq!(grant(&["ALL"], &[], false, available), Ok(available));
    }

    #[test]
    fn an_unknown_name_is_an_error_that_names_the_near_one() {
        let cases = [
            ("NET_ADMN", "unknown capability \"NET_ADMN\", did you mean CAP_NET_ADMIN"),
            ("cap_sysadmin", "unknown capability \"cap_sysadmin\", did you mean CAP_SYS_ADMIN"),
            ("CAP_ALL", "unknown capability \"CAP_ALL\""),
            ("CAP_CAP_CHOWN", "unknown capability \"CAP_CAP_CHOWN\""),
            ("flying", "unknown capability \"flying\""),
            ("", "unknown capability \"\""),
        ];
        for (asked, message) in cases {
            for (add, drop) in [(vec![asked], vec![]), (vec![], vec![asked])] {
                assert_eq!(grant(&add, &drop, false, CapSet::ALL).unwrap_err().to_string(), message);
            }
        }
    }

    #[test]
    fn a_set_in_a_specification_has_nothing_inheritable_and_nothing_ambient() {
        let written = serde_json::to_value(LinuxCapabilities::from(set("CHOWN"))).unwrap();
        let list = serde_json::json!(["CAP_CHOWN"]);
        assert_eq!(written, serde_json::json!({ "bounding": list, "effective": list, "permitted": list }));

        let read = CapSets::from(&LinuxCapabilities::from(CapSet::DOCKER));
        let docker = CapSet::DOCKER;
        let expected =
            CapSets { bounding: docker, effective: docker, permitted: docker, ..CapSets::default() };
        assert_eq!(read, expected);
    }

    #[test]
    fn a_specification_that_asks_for_inheritable_capabilities_is_read_as_it_stands() {
        let asked =
            r#"{"bounding":["CAP_KILL","CAP_CHOWN"],"inheritable":["CAP_CHOWN"],"ambient":["CAP_CHOWN"]}"#;
        let read = CapSets::from(&serde_json::from_str::<LinuxCapabilities>(asked).unwrap());
        let expected = CapSets {
            bounding: set("KILL CHOWN"),
            inheritable: set("CHOWN"),
            ambient: set("CHOWN"),
            ..CapSets::default()
        };
        assert_eq!(read, expected);
    }
}
