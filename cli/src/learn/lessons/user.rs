//! User: root here is nobody special there (user_namespaces(7)).

use std::path::Path;

use anyhow::Result;
use runtime::sys;
use runtime::sys::ns::Kinds;

use crate::learn::lab::{Lab, Life, View, inode};
use crate::learn::lesson::{Act, Lesson, Look, State, Verdict, no_machine};

/// A file that is for the lab's root alone.
const SECRET: &str = "/tmp/secret";
/// Who that is outside who is root inside.
const USER: u32 = 1000;

pub(crate) const LESSON: Lesson = Lesson {
    key: "user",
    acts: &[
        Act {
            lines: |_| {
                vec![
                    format!("echo 'root only' >{SECRET}; chmod 600 {SECRET}"),
                    format!(
                        "setpriv --reuid {USER} --regid {USER} --clear-groups unshare --user sleep 1000 & echo $! >/tmp/pid"
                    ),
                ]
            },
            perform: unmapped,
            done: Some(|lab| Ok(lab.isolated("user").is_some())),
        },
        Act {
            lines: |_| {
                vec![
                    format!("echo 0 {USER} 1 >/proc/$(cat /tmp/pid)/uid_map"),
                    format!("echo 0 {USER} 1 >/proc/$(cat /tmp/pid)/gid_map"),
                ]
            },
            perform: map,
            done: Some(|lab| Ok(check(lab)?.state == State::Holds)),
        },
    ],
    looks: &[
        Look { command: "id -u", read: uid },
        Look { command: "cat /proc/$PID/uid_map", read: own_map },
        Look { command: "cat /tmp/secret", read: secret },
    ],
    broken: Act {
        lines: |_| vec!["sleep 1000 &".to_owned()],
        perform: |lab| {
            keep_secret(lab)?;
            lab.contain(Kinds::empty(), Life::Sleep, &|| Ok(()))
        },
        done: None,
    },
    fixed: Act {
        lines: |_| {
            vec![
                format!(
                    "setpriv --reuid {USER} --regid {USER} --clear-groups unshare --user sleep 1000 & echo $! >/tmp/pid"
                ),
                format!("echo 0 {USER} 1 >/proc/$(cat /tmp/pid)/uid_map"),
                format!("echo 0 {USER} 1 >/proc/$(cat /tmp/pid)/gid_map"),
            ]
        },
        perform: |lab| {
            unmapped(lab)?;
            map(lab)
        },
        done: None,
    },
    outside: Lab::keeper,
    inside: |lab| lab.isolated("user").or_else(|| lab.youngest()),
    check,
    machine: no_machine,
};

fn keep_secret(lab: &Lab) -> Result<()> {
    lab.outside(&|| Ok(sys::fs::write_for(Path::new(SECRET), b"root only\n", 0o600, 0, 0)?))
}

fn unmapped(lab: &Lab) -> Result<()> {
    keep_secret(lab)?;
    lab.contain_as(USER, Kinds::USER, Life::Sleep, &|| Ok(()))
}

fn map(lab: &Lab) -> Result<()> {
    let Some(pid) = lab.isolated("user") else { anyhow::bail!("nobody is in a user namespace of its own") };
    // As the lab numbers it: the second of the three.
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let ids = crate::learn::lab::field(&status, "NSpid");
    let own = ids.split(' ').nth(1).unwrap_or_default().to_owned();
    lab.outside(&|| {
        for file in ["uid_map", "gid_map"] {
            sys::control::write_control(Path::new(&format!("/proc/{own}/{file}")), &format!("0 {USER} 1"))?;
        }
        Ok(())
    })
}

/// Who it is, as its own user namespace has it.
fn uid(view: &View) -> String {
    view.status("Uid").split(' ').next().unwrap_or_default().to_owned()
}

fn own_map(view: &View) -> String {
    let text = view.own("uid_map");
    let lines: Vec<String> =
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    if lines.is_empty() { "-".to_owned() } else { lines.join("\n") }
}

fn secret(_: &View) -> String {
    match std::fs::read_to_string(SECRET) {
        Ok(text) => text.trim().to_owned(),
        Err(error) => error.to_string(),
    }
}

fn check(lab: &Lab) -> Result<Verdict> {
    let Some(pid) = lab.isolated("user").or_else(|| lab.youngest()) else { return Ok(Verdict::nothing()) };
    let inside = lab.see(pid, &uid)?;
    let machine = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let machine = crate::learn::lab::field(&machine, "Uid");
    let outside = machine.split(' ').next().and_then(|uid| uid.parse::<u32>().ok());
    let reads = lab.see(pid, &secret)? == "root only";
    let isolated = inode(pid, "user") != inode(lab.keeper(), "user");
    let outside = outside.and_then(|uid| uid.checked_sub(lab.base()));
    Ok(judge(isolated, &inside, outside, reads))
}

/// `outside` is its uid in the lab. PURE.
fn judge(isolated: bool, inside: &str, outside: Option<u32>, reads: bool) -> Verdict {
    let outer = outside.map_or_else(|| "?".to_owned(), |uid| uid.to_string());
    let values = vec![("inside", inside.to_owned()), ("outside", outer)];
    match isolated {
        true if inside == "0" && outside != Some(0) && !reads => Verdict::holds(values),
        true if inside != "0" => Verdict { state: State::Nothing, word: "unmapped", values },
        _ => Verdict::leaks(values),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_inside_has_to_be_somebody_else_outside() {
        for (isolated, inside, outside, reads, state) in [
            (true, "65534", Some(1000), false, State::Nothing),
            (true, "0", Some(1000), false, State::Holds),
            (true, "0", Some(0), false, State::Leaks),
            (true, "0", Some(1000), true, State::Leaks),
            (false, "0", Some(0), true, State::Leaks),
        ] {
            assert_eq!(
                judge(isolated, inside, outside, reads).state,
                state,
                "{isolated} {inside} {outside:?}"
            );
        }
    }
}
