//! Which device nodes a container may make and open: docker's rules, and what a list of rules comes to.
//!
//! In a list later rules change earlier ones. What remains, [`DevicePolicy`], is a default and the exceptions
//! from it: all that cgroup v1 can hold (Documentation/admin-guide/cgroup-v1/devices.rst). Version 1 takes it
//! as lines of text, version 2 as a program ([`super::devices_bpf`]); made from one policy, both decide
//! alike. Everything here is pure.

use std::fmt;

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType};

use super::devices_bpf;
use crate::op::OpError;

/// What a container may do with device nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DevicePolicy {
    /// Whether a device that no exception names may be used.
    pub default_allow: bool,
    /// What is denied or allowed otherwise; no two of them name the same devices.
    pub exceptions: Vec<Exception>,
}

/// Devices and the uses of them that the default does not cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exception {
    /// The devices.
    pub devices: Devices,
    /// The uses.
    pub access: Access,
}

impl DevicePolicy {
    /// What a list of rules comes to. Without any rule everything is denied, as for runc.
    ///
    /// # Errors
    /// A rule that takes back a part of an earlier one, which version 1 would silently ignore, and thousands of
    /// exceptions.
    pub fn of<'a>(rules: impl IntoIterator<Item = &'a DeviceRule>) -> Result<DevicePolicy, DeviceRuleError> {
        let mut policy = DevicePolicy { default_allow: false, exceptions: Vec::new() };
        for rule in rules {
            match rule.devices {
                None => policy = DevicePolicy { default_allow: rule.allow, exceptions: Vec::new() },
                Some(devices) if rule.allow == policy.default_allow => policy.take_back(rule, devices)?,
                Some(devices) => policy.add(devices, rule.access),
            }
        }
        match devices_bpf::fits(&policy) {
            true => Ok(policy),
            false => Err(DeviceRuleError::TooMany { count: policy.exceptions.len() }),
        }
    }

    fn add(&mut self, devices: Devices, access: Access) {
        match self.exceptions.iter_mut().find(|exception| exception.devices == devices) {
            Some(exception) => exception.access = exception.access.union(access),
            None => self.exceptions.push(Exception { devices, access }),
        }
    }

    /// What the rule covers goes; what it only cuts into would need more than a default and exceptions.
    fn take_back(&mut self, rule: &DeviceRule, devices: Devices) -> Result<(), DeviceRuleError> {
        for Exception { devices: those, access } in &mut self.exceptions {
            if devices.cover(*those) {
                *access = access.minus(rule.access);
            } else if devices.overlap(*those) && access.intersection(rule.access) != Access::NONE {
                let other = DeviceRule { allow: !rule.allow, devices: Some(*those), access: *access };
                return Err(DeviceRuleError::PunchesHole { rule: *rule, other });
            }
        }
        self.exceptions.retain(|exception| exception.access != Access::NONE);
        Ok(())
    }

    /// What carrying it out came to: who may not allow everything has what the groups above have, and that is all it can have.
    ///
    /// # Errors
    /// Every other failure.
    pub(crate) fn carried_out(&self, result: Result<(), OpError>) -> Result<(), OpError> {
        match result {
            Err(error)
                if error.errno() == libc::EPERM && self.default_allow && self.exceptions.is_empty() =>
            {
                Ok(())
            }
            result => result,
        }
    }

    /// The writes that put the policy into a cgroup of version 1, in this order: file and line.
    pub fn v1_writes(&self) -> Vec<(&'static str, String)> {
        let (default, other) = if self.default_allow {
            ("devices.allow", "devices.deny")
        } else {
            ("devices.deny", "devices.allow")
        };
        // `a` forgets all exceptions.
        let all = std::iter::once((default, "a".to_owned()));
        all.chain(self.exceptions.iter().map(|exception| (other, exception.to_string()))).collect()
    }
}

/// Allows or denies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceRule {
    /// Whether it allows.
    pub allow: bool,
    /// The devices; `None` for all of both kinds, which makes the rule a new beginning.
    pub devices: Option<Devices>,
    /// The uses; all of them in a rule about all devices.
    pub access: Access,
}

/// Device nodes of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Devices {
    /// Block or character devices.
    pub kind: DeviceKind,
    /// Their major number, any if there is none.
    pub major: Option<u32>,
    /// Their minor number, any if there is none.
    pub minor: Option<u32>,
}

/// The kinds of devices, with the numbers of `BPF_DEVCG_DEV_*` (linux/bpf.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// `b`
    Block = 1,
    /// `c`
    Char = 2,
}

/// Uses of a device: a set of `r`, `w` and `m`, with the bits of `BPF_DEVCG_ACC_*` (linux/bpf.h).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Access(u32);

impl Access {
    /// Nothing.
    pub const NONE: Access = Access(0);
    /// `m`: making a node.
    pub const MAKE: Access = Access(1);
    /// `r`: opening it for reading.
    pub const READ: Access = Access(2);
    /// `w`: opening it for writing.
    pub const WRITE: Access = Access(4);
    /// `rwm`
    pub const ALL: Access = Access(7);
    const LETTERS: [(char, Access); 3] = [('r', Access::READ), ('w', Access::WRITE), ('m', Access::MAKE)];

    pub(super) fn union(self, other: Access) -> Access {
        Access(self.0 | other.0)
    }

    fn intersection(self, other: Access) -> Access {
        Access(self.0 & other.0)
    }

    fn minus(self, other: Access) -> Access {
        Access(self.0 & !other.0)
    }

    pub(super) fn complement(self) -> Access {
        Access::ALL.minus(self)
    }

    pub(super) fn cover(self, other: Access) -> bool {
        other.minus(self) == Access::NONE
    }

    pub(super) fn bits(self) -> u32 {
        self.0
    }
}

impl Devices {
    /// Whether these are all of those.
    fn cover(self, those: Devices) -> bool {
        let covers = |this: Option<u32>, that: Option<u32>| this.is_none() || this == that;
        self.kind == those.kind && covers(self.major, those.major) && covers(self.minor, those.minor)
    }

    /// Whether some device is one of these and of those.
    fn overlap(self, those: Devices) -> bool {
        let meet = |this: Option<u32>, that: Option<u32>| this.is_none() || that.is_none() || this == that;
        self.kind == those.kind && meet(self.major, those.major) && meet(self.minor, those.minor)
    }
}

/// What every container may do, whatever its specification says: make any node, open the harmless ones. runc
/// adds these rules to the end of each list, and images count on them.
pub const ALWAYS_ALLOWED: [DeviceRule; 10] = [
    DeviceRule::any(DeviceKind::Char, Access::MAKE),
    DeviceRule::any(DeviceKind::Block, Access::MAKE),
    DeviceRule::char(1, Some(3)), // null
    DeviceRule::char(1, Some(8)), // random
    DeviceRule::char(1, Some(7)), // full
    DeviceRule::char(5, Some(0)), // tty
    DeviceRule::char(1, Some(5)), // zero
    DeviceRule::char(1, Some(9)), // urandom
    DeviceRule::char(136, None),  // pts/N
    DeviceRule::char(5, Some(2)), // ptmx
];

/// The rules that docker writes into a specification (moby `daemon/pkg/oci/defaults.go`).
pub const DOCKER: [DeviceRule; 8] = [
    DeviceRule { allow: false, devices: None, access: Access::ALL },
    DeviceRule::char(1, Some(5)),                                   // zero
    DeviceRule::char(1, Some(3)),                                   // null
    DeviceRule::char(1, Some(9)),                                   // urandom
    DeviceRule::char(1, Some(8)),                                   // random
    DeviceRule::char(5, Some(0)),                                   // tty
    DeviceRule::char(5, Some(1)),                                   // console
    DeviceRule { allow: false, ..DeviceRule::char(10, Some(229)) }, // fuse
];

impl DeviceRule {
    const fn char(major: u32, minor: Option<u32>) -> DeviceRule {
        let devices = Devices { kind: DeviceKind::Char, major: Some(major), minor };
        DeviceRule { allow: true, devices: Some(devices), access: Access::ALL }
    }

    const fn any(kind: DeviceKind, access: Access) -> DeviceRule {
        DeviceRule { allow: true, devices: Some(Devices { kind, major: None, minor: None }), access }
    }
}

/// A device rule that cannot be carried out.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceRuleError {
    /// Some of the devices that an earlier rule with a wildcard names are taken back.
    #[error("device rule `{rule}` takes back a part of `{other}`, which the devices cgroup cannot do")]
    PunchesHole {
        /// The later rule.
        rule: DeviceRule,
        /// The earlier one.
        other: DeviceRule,
    },
    /// More exceptions than a program's jumps can pass over.
    #[error("device rules come to {count} exceptions, which is more than the devices cgroup can be told")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// Only block and character devices have a driver to protect.
    #[error("device rule of type {kind:?}: only a, b and c can be controlled")]
    Kind {
        /// The letter.
        kind: String,
    },
    /// The kernel takes a rule about all devices for all numbers and all uses, whatever it says besides.
    #[error("device rule of type a is for all numbers and all of rwm, but says {major}:{minor} {access:?}")]
    AllIsAll {
        /// Its major number.
        major: i64,
        /// Its minor number.
        minor: i64,
        /// Its access.
        access: String,
    },
    /// A number below -1, which stands for any, or above 32 bits.
    #[error("device rule has the number {number}")]
    Number {
        /// The number.
        number: i64,
    },
    /// Nothing, or letters other than these.
    #[error("device rule has the access {access:?}, which is not made of r, w and m")]
    Access {
        /// The letters.
        access: String,
    },
}

impl TryFrom<&LinuxDeviceCgroup> for DeviceRule {
    type Error = DeviceRuleError;

    fn try_from(rule: &LinuxDeviceCgroup) -> Result<DeviceRule, DeviceRuleError> {
        let text = rule.access().as_deref().unwrap_or_default();
        let (major, minor) = (rule.major().unwrap_or(-1), rule.minor().unwrap_or(-1));
        let kind = match rule.typ().unwrap_or_default() {
            LinuxDeviceType::A
                if (major, minor) == (-1, -1) && (text.is_empty() || access(text)? == Access::ALL) =>
            {
                return Ok(DeviceRule { allow: rule.allow(), devices: None, access: Access::ALL });
            }
            LinuxDeviceType::A => {
                return Err(DeviceRuleError::AllIsAll { major, minor, access: text.to_owned() });
            }
            LinuxDeviceType::B => DeviceKind::Block,
            LinuxDeviceType::C => DeviceKind::Char,
            other => return Err(DeviceRuleError::Kind { kind: other.as_str().to_owned() }),
        };
        let devices = Devices { kind, major: number(major)?, minor: number(minor)? };
        Ok(DeviceRule { allow: rule.allow(), devices: Some(devices), access: access(text)? })
    }
}

impl From<&DeviceRule> for LinuxDeviceCgroup {
    fn from(rule: &DeviceRule) -> LinuxDeviceCgroup {
        let mut builder =
            LinuxDeviceCgroupBuilder::default().allow(rule.allow).access(rule.access.to_string());
        if let Some(Devices { kind, major, minor }) = rule.devices {
            builder = builder.typ(match kind {
                DeviceKind::Block => LinuxDeviceType::B,
                DeviceKind::Char => LinuxDeviceType::C,
            });
            builder = major.into_iter().fold(builder, LinuxDeviceCgroupBuilder::major::<u32>);
            builder = minor.into_iter().fold(builder, LinuxDeviceCgroupBuilder::minor::<u32>);
        }
        builder.build().expect("every field has a default")
    }
}

fn access(text: &str) -> Result<Access, DeviceRuleError> {
    let letter =
        |letter| Access::LETTERS.iter().find(|(known, _)| *known == letter).map(|(_, access)| *access);
    let union = |set: Access, next: char| Some(set.union(letter(next)?));
    match text.chars().try_fold(Access::NONE, union) {
        Some(access) if access != Access::NONE => Ok(access),
        _ => Err(DeviceRuleError::Access { access: text.to_owned() }),
    }
}

fn number(number: i64) -> Result<Option<u32>, DeviceRuleError> {
    match number {
        -1 => Ok(None),
        _ => u32::try_from(number).map(Some).map_err(|_| DeviceRuleError::Number { number }),
    }
}

impl fmt::Display for DeviceRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.allow { "allow" } else { "deny" };
        match self.devices {
            Some(devices) => write!(f, "{verb} {}", Exception { devices, access: self.access }),
            None => write!(f, "{verb} a"),
        }
    }
}

/// As `devices.allow` and `devices.deny` take it: `c 1:3 rwm`.
impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Devices { kind, major, minor } = self.devices;
        let letter = if kind == DeviceKind::Block { 'b' } else { 'c' };
        let number = |number: Option<u32>| number.map_or("*".to_owned(), |number| number.to_string());
        write!(f, "{letter} {}:{} {}", number(major), number(minor), self.access)
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has = |access: &Access| self.intersection(*access) != Access::NONE;
        Access::LETTERS
            .iter()
            .filter(|(_, access)| has(access))
            .try_for_each(|(letter, _)| write!(f, "{letter}"))
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Access({self})")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// `allow c 1:3 rwm`, as a rule shows itself.
    fn rule(text: &str) -> DeviceRule {
        let words: Vec<&str> = text.split(' ').collect();
        let numbers = words.get(2).map(|numbers| numbers.split_once(':').unwrap());
        let number = |text: &str| if text == "*" { json!(null) } else { json!(text.parse::<i64>().unwrap()) };
        let (major, minor) = numbers.unwrap_or(("*", "*"));
        let written = json!({ "allow": words[0] == "allow", "type": words[1], "major": number(major),
                              "minor": number(minor), "access": words.get(3).unwrap_or(&"rwm") });
        let written: LinuxDeviceCgroup = serde_json::from_value(written).unwrap();
        DeviceRule::try_from(&written).unwrap()
    }

    fn policy(rules: &[&str]) -> Result<DevicePolicy, DeviceRuleError> {
        let rules: Vec<DeviceRule> = rules.iter().map(|text| rule(text)).collect();
        DevicePolicy::of(&rules)
    }

    /// The writes of version 1, as one text.
    fn writes(policy: &DevicePolicy) -> String {
        let lines = policy.v1_writes();
        lines
            .iter()
            .map(|(file, line)| format!("{} {line}", &file["devices.".len()..]))
            .collect::<Vec<_>>()
            .join(", ")
    }

    #[test]
    fn later_rules_change_earlier_ones() {
        let cases: &[(&[&str], &str)] = &[
            (&[], "deny a"),
            (&["deny a", "allow c 1:3 rwm"], "deny a, allow c 1:3 rwm"),
            (&["allow c 1:3 rwm", "deny a"], "deny a"),
            (&["deny a", "allow c 1:3 r", "allow c 1:3 w"], "deny a, allow c 1:3 rw"),
            (&["deny a", "allow c 1:3 rwm", "deny c 1:3 w"], "deny a, allow c 1:3 rm"),
            (&["deny a", "allow c 1:3 rwm", "deny c 1:3 rwm"], "deny a"),
            (
                &["deny a", "allow c *:* m", "allow c 1:3 rw", "deny c 1:3 r"],
                "deny a, allow c *:* m, allow c 1:3 w",
            ),
            (&["deny a", "allow c 7:* r", "deny b 7:1 r", "deny c 8:1 r"], "deny a, allow c 7:* r"),
            (
                &["deny a", "allow c 7:1 rw", "allow c 8:1 r", "deny c 7:* r"],
                "deny a, allow c 7:1 w, allow c 8:1 r",
            ),
            (&["deny a", "deny c 1:3 rwm", "allow b *:5 m"], "deny a, allow b *:5 m"),
            (&["allow a", "deny c 10:200 rwm"], "allow a, deny c 10:200 rwm"),
            (&["allow a", "deny b 8:* w", "allow b 8:* w", "allow c 1:3 rwm"], "allow a"),
            (&["deny a", "allow c 1:3 rwm", "allow a", "deny b 8:0 w"], "allow a, deny b 8:0 w"),
        ];
        for (rules, expected) in cases {
            assert_eq!(writes(&policy(rules).unwrap()), *expected, "{rules:?}");
        }
    }

    #[test]
    fn a_hole_in_a_wildcard_is_refused_and_names_both_rules() {
        let refused: &[(&[&str], &str)] = &[
            (
                &["deny a", "allow c 7:* rwm", "deny c 7:1 w"],
                "`deny c 7:1 w` takes back a part of `allow c 7:* rwm`",
            ),
            (
                &["deny a", "allow c *:* m", "deny c 1:3 rwm"],
                "`deny c 1:3 rwm` takes back a part of `allow c *:* m`",
            ),
            (
                &["deny a", "allow c *:1 r", "deny c 7:* r"],
                "`deny c 7:* r` takes back a part of `allow c *:1 r`",
            ),
            (
                &["allow a", "deny b *:1 r", "allow b 8:1 r"],
                "`allow b 8:1 r` takes back a part of `deny b *:1 r`",
            ),
        ];
        for (rules, expected) in refused {
            let message = policy(rules).unwrap_err().to_string();
            assert_eq!(message, format!("device rule {expected}, which the devices cgroup cannot do"));
        }
    }

    #[test]
    fn a_container_of_dockers_gets_these_lines() {
        let policy = DevicePolicy::of(DOCKER.iter().chain(&ALWAYS_ALLOWED)).unwrap();
        let expected = "deny a, allow c 1:5 rwm, allow c 1:3 rwm, allow c 1:9 rwm, allow c 1:8 rwm, allow c 5:0 rwm, \
                        allow c 5:1 rwm, allow c *:* m, allow b *:* m, allow c 1:7 rwm, allow c 136:* rwm, allow c 5:2 rwm";
        assert_eq!(writes(&policy), expected);
    }

    #[test]
    fn dockers_rules_are_written_as_docker_writes_them() {
        let written: Vec<_> =
            DOCKER.iter().map(|rule| serde_json::to_value(LinuxDeviceCgroup::from(rule)).unwrap()).collect();
        assert_eq!(written[0], json!({ "allow": false, "access": "rwm" }));
        assert_eq!(
            written[2],
            json!({ "allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm" })
        );
        assert_eq!(
            written[7],
            json!({ "allow": false, "type": "c", "major": 10, "minor": 229, "access": "rwm" })
        );
        for rule in DOCKER.iter().chain(&ALWAYS_ALLOWED) {
            assert_eq!(DeviceRule::try_from(&LinuxDeviceCgroup::from(rule)).as_ref(), Ok(rule));
        }
    }

    #[test]
    fn specifications_are_read_strictly() {
        let read = |written: serde_json::Value| {
            DeviceRule::try_from(&serde_json::from_value::<LinuxDeviceCgroup>(written).unwrap())
        };
        let all = DeviceRule { allow: true, devices: None, access: Access::ALL };
        assert_eq!(read(json!({ "allow": true })), Ok(all));
        assert_eq!(
            read(json!({ "allow": true, "type": "a", "major": -1, "minor": -1, "access": "mwr" })),
            Ok(all)
        );
        assert_eq!(
            read(json!({ "allow": true, "type": "b", "major": -1, "access": "r" })).unwrap().to_string(),
            "allow b *:* r"
        );
        let refused = [
            (
                json!({ "allow": true, "access": "r" }),
                "device rule of type a is for all numbers and all of rwm, but says -1:-1 \"r\"",
            ),
            (
                json!({ "allow": true, "major": 1, "access": "rwm" }),
                "device rule of type a is for all numbers and all of rwm, but says 1:-1 \"rwm\"",
            ),
            (
                json!({ "allow": true, "type": "p", "access": "r" }),
                "device rule of type \"p\": only a, b and c can be controlled",
            ),
            (
                json!({ "allow": true, "type": "c", "major": -2, "access": "r" }),
                "device rule has the number -2",
            ),
            (
                json!({ "allow": true, "type": "c", "minor": 4294967296_u64, "access": "r" }),
                "device rule has the number 4294967296",
            ),
            (
                json!({ "allow": true, "type": "c" }),
                "device rule has the access \"\", which is not made of r, w and m",
            ),
            (
                json!({ "allow": true, "type": "c", "access": "rx" }),
                "device rule has the access \"rx\", which is not made of r, w and m",
            ),
        ];
        for (written, message) in refused {
            assert_eq!(read(written).unwrap_err().to_string(), message);
        }
    }
}
