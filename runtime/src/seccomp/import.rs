//! docker's form of a seccomp profile: a file that speaks of many machines, kernels and capabilities. PURE.
//!
//! It is resolved as dockerd does before it writes a container's config.json: entries are left out by their `includes` and
//! `excludes`, and the architectures are those that the machine's kernel can be called by. What a machine or mini does not
//! know is skipped, as docker skips it: system calls by unknown names, and fields that it has no meaning for.

use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg, LinuxSeccompFilterFlag, LinuxSyscall,
};
use serde::Deserialize;

use super::abi::Machine;
use crate::caps::{self, CapSet};

/// The largest profile that is read, bytes: docker's own has 20 thousand.
pub const LARGEST: usize = 1 << 20;

/// A profile that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// More than [`LARGEST`].
    #[error("it has {0} bytes, and {LARGEST} are read at most")]
    TooLarge(usize),
    /// No JSON, or not of the form; says line and column.
    #[error("it is no seccomp profile")]
    Form(#[from] serde_json::Error),
    /// Two fields that say the same.
    #[error("{place}: {one:?} and {other:?} say the same, and both are there")]
    Twice {
        /// Where.
        place: String,
        /// A field.
        one: &'static str,
        /// Another.
        other: &'static str,
    },
    /// Nothing is said about calls without an entry.
    #[error("it has no \"defaultAction\"")]
    NoDefault,
    /// An entry that acts on nothing.
    #[error("{0}: neither \"name\" nor \"names\"")]
    NoNames(String),
    /// A version that is none.
    #[error("{place}: minKernel {version:?} is no version, as in 4.8")]
    Version {
        /// Where.
        place: String,
        /// What is there.
        version: String,
    },
    /// Nobody is there to be asked.
    #[error("{0}: SCMP_ACT_NOTIFY asks an agent about each call, and mini has none")]
    Notify(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    default_action: Option<Action>,
    default_errno_ret: Option<u32>,
    #[serde(default)]
    architectures: Vec<Arch>,
    #[serde(default)]
    arch_map: Vec<Architectures>,
    #[serde(default)]
    flags: Vec<LinuxSeccompFilterFlag>,
    #[serde(default)]
    syscalls: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Architectures {
    architecture: Arch,
    #[serde(default)]
    sub_architectures: Option<Vec<Arch>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(default)]
    name: String,
    #[serde(default)]
    names: Option<Vec<String>>,
    action: Action,
    errno_ret: Option<u32>,
    #[serde(default)]
    args: Option<Vec<LinuxSeccompArg>>,
    #[serde(default)]
    includes: Option<Filter>,
    #[serde(default)]
    excludes: Option<Filter>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    #[serde(default)]
    caps: Option<Vec<String>>,
    #[serde(default)]
    arches: Option<Vec<String>>,
    min_kernel: Option<String>,
}

/// Resolves a profile for a container whose bounding set is `bounding`, on `machine` with a kernel of this version.
///
/// # Errors
/// See [`ImportError`].
pub fn import(
    text: &str,
    bounding: CapSet,
    machine: Machine,
    kernel: (u32, u32),
) -> Result<LinuxSeccomp, ImportError> {
    if text.len() > LARGEST {
        return Err(ImportError::TooLarge(text.len()));
    }
    let profile: Profile = serde_json::from_str(text)?;
    let default = profile.default_action.ok_or(ImportError::NoDefault)?;
    if default == Action::ScmpActNotify {
        return Err(ImportError::Notify("defaultAction".to_owned()));
    }
    let around = Around { bounding, machine, kernel };
    let mut calls = Vec::new();
    for (index, entry) in profile.syscalls.iter().enumerate() {
        calls.extend(around.resolve(index, entry)?);
    }
    let mut resolved = LinuxSeccomp::default();
    resolved
        .set_default_action(default)
        .set_default_errno_ret(profile.default_errno_ret)
        .set_architectures(Some(architectures(&profile, machine)?))
        .set_flags((!profile.flags.is_empty()).then_some(profile.flags))
        .set_syscalls(Some(calls));
    Ok(resolved)
}

/// What decides which entries count.
struct Around {
    bounding: CapSet,
    machine: Machine,
    kernel: (u32, u32),
}

impl Around {
    fn resolve(&self, index: usize, entry: &Entry) -> Result<Option<LinuxSyscall>, ImportError> {
        let names = entry.names.as_deref().unwrap_or_default();
        let first = names.first().unwrap_or(&entry.name);
        let place = || format!("syscalls[{index}] ({first})");
        let names = match (entry.name.as_str(), names) {
            ("", []) => return Err(ImportError::NoNames(format!("syscalls[{index}]"))),
            ("", names) => names.to_vec(),
            (name, []) => vec![name.to_owned()],
            _ => return Err(ImportError::Twice { place: place(), one: "name", other: "names" }),
        };
        if let Some(excludes) = &entry.excludes
            && (self.is_any(excludes.arches.as_deref(), |arch| self.is_ours(arch))
                || self.is_any(excludes.caps.as_deref(), |cap| self.has(cap))
                || self.is_at_least(excludes, &place)?.unwrap_or(false))
        {
            return Ok(None);
        }
        if let Some(includes) = &entry.includes {
            let arches = includes.arches.as_deref().unwrap_or_default();
            let elsewhere = !arches.is_empty() && !arches.iter().any(|arch| self.is_ours(arch));
            let lacks = self.is_any(includes.caps.as_deref(), |cap| !self.has(cap));
            if elsewhere || lacks || !self.is_at_least(includes, &place)?.unwrap_or(true) {
                return Ok(None);
            }
        }
        if entry.action == Action::ScmpActNotify {
            return Err(ImportError::Notify(place()));
        }
        let mut resolved = LinuxSyscall::default();
        resolved.set_names(names);
        resolved.set_action(entry.action);
        resolved.set_errno_ret(entry.errno_ret);
        resolved.set_args(entry.args.clone().filter(|args| !args.is_empty()));
        Ok(Some(resolved))
    }

    fn is_any(&self, list: Option<&[String]>, is: impl Fn(&str) -> bool) -> bool {
        list.unwrap_or_default().iter().any(|word| is(word))
    }

    /// As docker calls machines.
    fn is_ours(&self, arch: &str) -> bool {
        arch == match self.machine {
            Machine::X86_64 => "amd64",
            Machine::Aarch64 => "arm64",
        }
    }

    /// A capability that no kernel of ours has is one that nobody has.
    fn has(&self, name: &str) -> bool {
        caps::parse(name).is_ok_and(|capability| self.bounding.contains(capability))
    }

    fn is_at_least(&self, filter: &Filter, place: &dyn Fn() -> String) -> Result<Option<bool>, ImportError> {
        let Some(text) = &filter.min_kernel else { return Ok(None) };
        let mut numbers = text.split('.').map(|number| number.parse::<u32>().ok());
        match (numbers.next().flatten(), numbers.next().flatten(), numbers.next()) {
            (Some(major), Some(minor), None) => Ok(Some(self.kernel >= (major, minor))),
            _ => Err(ImportError::Version { place: place(), version: text.clone() }),
        }
    }
}

fn architectures(profile: &Profile, machine: Machine) -> Result<Vec<Arch>, ImportError> {
    if !profile.architectures.is_empty() && !profile.arch_map.is_empty() {
        let place = "the profile".to_owned();
        return Err(ImportError::Twice { place, one: "architectures", other: "archMap" });
    }
    let native = machine.abis()[0].oci();
    let mapped = profile.arch_map.iter().find(|entry| entry.architecture == native);
    let Some(mapped) = mapped else { return Ok(profile.architectures.clone()) };
    let others = mapped.sub_architectures.iter().flatten().copied();
    Ok(std::iter::once(native).chain(others).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn import_on(text: &str, bounding: CapSet, kernel: (u32, u32)) -> Result<serde_json::Value, String> {
        let chain = |error: ImportError| {
            let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            format!("{error}: {source}")
        };
        let profile = import(text, bounding, Machine::X86_64, kernel).map_err(chain)?;
        Ok(serde_json::to_value(profile).unwrap())
    }

    #[test]
    fn a_profile_is_resolved_as_dockerd_does() {
        let text = json!({
            "defaultAction": "SCMP_ACT_ERRNO",
            "defaultErrnoRet": 13,
            "archMap": [
                { "architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"] },
                { "architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"] },
            ],
            "syscalls": [
                { "names": ["read", "no_such_call"], "action": "SCMP_ACT_ALLOW", "args": [], "comment": "",
                  "includes": {}, "excludes": {} },
                { "name": "ptrace", "action": "SCMP_ACT_ALLOW", "args": null, "includes": { "minKernel": "4.8" } },
                { "names": ["bpf"], "action": "SCMP_ACT_ALLOW", "includes": { "caps": ["CAP_SYS_ADMIN"] } },
                { "names": ["chroot"], "action": "SCMP_ACT_ALLOW", "includes": { "caps": ["CAP_SYS_CHROOT"] } },
                { "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38,
                  "excludes": { "caps": ["CAP_SYS_ADMIN"] } },
                { "names": ["arch_prctl"], "action": "SCMP_ACT_ALLOW", "includes": { "arches": ["amd64", "x32"] } },
                { "names": ["set_tls"], "action": "SCMP_ACT_ALLOW", "includes": { "arches": ["arm64"] } },
                { "names": ["s390"], "action": "SCMP_ACT_ALLOW", "excludes": { "arches": ["amd64"] } },
                { "names": ["new"], "action": "SCMP_ACT_ALLOW", "excludes": { "minKernel": "5.0" } },
                { "names": ["clone"], "action": "SCMP_ACT_ALLOW",
                  "args": [{ "index": 0, "value": 2_114_060_288_u32, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ" }] },
            ],
        })
        .to_string();
        let resolved = import_on(&text, CapSet::DOCKER, (6, 1)).unwrap();
        let names: Vec<_> =
            resolved["syscalls"].as_array().unwrap().iter().map(|entry| entry["names"][0].clone()).collect();
        assert_eq!(json!(names), json!(["read", "ptrace", "chroot", "clone3", "arch_prctl", "clone"]));
        assert_eq!(resolved["architectures"], json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]));
        assert_eq!(
            (&resolved["defaultErrnoRet"], &resolved["syscalls"][3]["errnoRet"]),
            (&json!(13), &json!(38))
        );
        let old = import_on(&text, CapSet::ALL, (4, 7)).unwrap();
        let names: Vec<_> =
            old["syscalls"].as_array().unwrap().iter().map(|entry| entry["names"][0].clone()).collect();
        assert_eq!(json!(names), json!(["read", "bpf", "chroot", "arch_prctl", "new", "clone"]));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (text, complaint) in [
            ("{", "line 1 column"),
            ("", "line 1 column 0"),
            ("[]", "invalid"),
            ("{}", "no \"defaultAction\""),
            ("{\n\"defaultAction\": \"SCMP_ACT_PERHAPS\"}", "line 2"),
            (r#"{"defaultAction": "SCMP_ACT_NOTIFY"}"#, "defaultAction: SCMP_ACT_NOTIFY"),
            (r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a"]}]}"#, "missing field `action`"),
            (
                r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"action":"SCMP_ACT_ALLOW"}]}"#,
                "syscalls[0]: neither",
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"x","names":["a"],"action":"SCMP_ACT_ALLOW"}]}"#,
                "syscalls[0] (a): \"name\" and \"names\"",
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"x","action":"SCMP_ACT_ALLOW","includes":{"minKernel":"new"}}]}"#,
                "syscalls[0] (x): minKernel \"new\"",
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"x","action":"SCMP_ACT_NOTIFY"}]}"#,
                "syscalls[0] (x): SCMP_ACT_NOTIFY",
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"],"archMap":[{"architecture":"SCMP_ARCH_X86_64"}]}"#,
                "\"architectures\" and \"archMap\"",
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"x","action":"SCMP_ACT_ALLOW","args":[{"index":-1}]}]}"#,
                "column",
            ),
        ] {
            let error = import_on(text, CapSet::DOCKER, (6, 1)).unwrap_err();
            assert!(error.contains(complaint), "{text}: {error}");
        }
        let deep = "[".repeat(100_000);
        assert!(import_on(&deep, CapSet::DOCKER, (6, 1)).is_err());
        let large = " ".repeat(LARGEST + 1);
        assert!(import_on(&large, CapSet::DOCKER, (6, 1)).unwrap_err().contains("read at most"));
    }
}
