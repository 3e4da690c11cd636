//! Control groups: made, limited, entered, removed. PURE.

use anyhow::Result;
use runtime::cgroup::{GroupOutline, GroupWrite};

use super::Parts;
use super::text::{path, word};

/// Makes the groups, and has them removed; `$made` lists what was not there before, the deepest first.
pub(super) fn groups(parts: &mut Parts, groups: &[GroupOutline]) -> Result<()> {
    let begin = &mut parts.host;
    begin.part("Make the container's own control groups and say what it may use");
    begin.line(": >\"$work/made\"");
    for group in groups {
        one(parts, group)?;
    }
    let undo = &mut parts.undo;
    undo.comment("The container's groups go, and those above them that are empty and were not there before.");
    undo.line("while read -r group; do");
    undo.line("    tries=0");
    undo.line(
        "    until find \"$group\" -depth -type d -exec rmdir {} + 2>/dev/null || [ $tries -ge 50 ]; do",
    );
    undo.line("        tries=$((tries + 1))");
    undo.line("        sleep 0.02");
    undo.line("    done");
    undo.line("done <\"$work/made\"");
    Ok(())
}

fn one(parts: &mut Parts, group: &GroupOutline) -> Result<()> {
    let text = &mut parts.host;
    let own = word(&group.path.display().to_string());
    text.line(&format!("group {} {own}", path(&group.root)?));
    let above = || {
        let above = group.path.ancestors().skip(1).map(|above| group.root.join(above));
        let mut above: Vec<_> = above.collect();
        above.reverse();
        above
    };
    if group.cpuset {
        text.comment(
            "A cpuset takes no process before it has processors and memory nodes: those of the group above it.",
        );
        for directory in above().iter().skip(1).chain([&group.root.join(&group.path)]) {
            text.line(&format!("cd {}", path(directory)?));
            for file in ["cpuset.cpus", "cpuset.mems"] {
                text.line(&format!("[ -n \"$(cat {file})\" ] || cat ../{file} >{file}"));
            }
        }
    }
    if !group.controllers.is_empty() {
        text.comment(
            "Controllers are passed on from the root downwards; what this kernel has not is left out.",
        );
        for directory in above() {
            for controller in &group.controllers {
                let directory = path(&directory)?;
                text.line(&format!(
                    "echo +{controller} >{directory}/cgroup.subtree_control 2>/dev/null || :"
                ));
            }
        }
    }
    text.line(&format!("cd {}", path(&group.root.join(&group.path))?));
    for write in &group.writes {
        text.line(&limit(write));
    }
    for (file, line) in &group.devices {
        text.line(&format!("echo {} >{file}", word(line)));
    }
    text.line("cd /");
    Ok(())
}

/// One limit; of several files the first that the kernel has.
fn limit(write: &GroupWrite) -> String {
    let mut line = String::new();
    for (file, value) in &write.choices {
        let keyword = if line.is_empty() { "if" } else { "elif" };
        line += &format!("{keyword} [ -e {file} ]; then echo {} >{file}; ", word(value));
    }
    match write.dispensable {
        true => line + "fi # where there is no such file, there is nothing to limit",
        false => line + &format!("else die 'this host cannot enforce {}'; fi", write.limit),
    }
}

/// Moves the container's first process into them.
pub(super) fn enter(parts: &mut Parts, groups: &[GroupOutline]) -> Result<()> {
    parts.host.part("Enter the container's control groups, and make them the root of what we see");
    parts.host.comment(
        "mini's first process enters them by itself, or is born there: clone3(2) with CLONE_INTO_CGROUP, which no program of a \
         shell's does. Here it is moved from outside.",
    );
    for group in groups {
        let directory = path(&group.root.join(&group.path))?;
        parts.host.line(&format!("echo \"$pid\" >{directory}/{}", group.entry));
    }
    Ok(())
}

/// The function that makes a group, and those above it.
pub(super) const MAKE: &str = r#"# group HIERARCHY PATH: makes a group and those above it, and remembers which were not there.
group() {
    directory=$1
    for part in $(echo "$2" | tr / ' '); do
        directory=$directory/$part
        [ ! -d "$directory" ] || continue
        mkdir -m 755 "$directory"
        echo "$directory" | cat - "$work/made" >"$work/made.new"
        mv "$work/made.new" "$work/made"
    done
}
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_written_or_refused() {
        let write = |files: &[&'static str], dispensable| GroupWrite {
            limit: "--blkio-weight",
            choices: files.iter().map(|file| (*file, "8:0 10".to_owned())).collect(),
            dispensable,
        };
        assert_eq!(
            limit(&write(&["a", "b"], false)),
            "if [ -e a ]; then echo '8:0 10' >a; elif [ -e b ]; then echo '8:0 10' >b; \
             else die 'this host cannot enforce --blkio-weight'; fi"
        );
        assert!(
            limit(&write(&["a"], true))
                .ends_with("fi # where there is no such file, there is nothing to limit")
        );
    }
}
