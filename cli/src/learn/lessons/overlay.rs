//! Overlay: many containers of one image, each with its own changes (overlayfs.rst).

use std::os::fd::AsFd as _;
use std::path::Path;

use anyhow::Result;
use runtime::sys;
use runtime::sys::mount::{self, Layer, Writable};
use runtime::sys::ns::Kinds;

use crate::learn::lab::{self, Lab, Life, View, make_dir};
use crate::learn::lesson::{Act, Lesson, Look, Verdict, no_machine};

const IMAGE: &str = "/tmp/image";
const UPPER: &str = "/tmp/layer/upper";
const WORK: &str = "/tmp/layer/work";
const MERGED: &str = "/tmp/merged";

pub(crate) const LESSON: Lesson = Lesson {
    key: "overlay",
    acts: &[
        Act {
            lines: |_| image_lines(),
            perform: image,
            done: Some(|lab| Ok(lab.see_outside(&|_: &View| content("/tmp/image/release"))? == "original")),
        },
        Act { lines: |_| stacked_lines(), perform: stacked, done: None },
    ],
    looks: &[
        Look { command: "cat /tmp/merged/release", read: |_| content("/tmp/merged/release") },
        Look { command: "cat /tmp/image/release", read: |_| content("/tmp/image/release") },
        Look { command: "ls -l /tmp/layer/upper", read: upper },
    ],
    broken: Act {
        lines: |_| {
            [
                image_lines(),
                vec![format!(
                    "unshare --mount sh -c 'mount --bind {IMAGE} {MERGED}; {CHANGE}; sleep 1000' &"
                )],
            ]
            .concat()
        },
        perform: |lab| {
            image(lab)?;
            lab.contain(Kinds::MOUNT, Life::Sleep, &|| {
                mount::make_private()?;
                let tree = mount::clone_tree(
                    sys::fs::open_path_following(Path::new(IMAGE))?.as_fd(),
                    Path::new(""),
                    false,
                )?;
                place(tree.as_fd())?;
                change()
            })
        },
        done: None,
    },
    fixed: Act {
        lines: |_| [image_lines(), stacked_lines()].concat(),
        perform: |lab| {
            image(lab)?;
            stacked(lab)
        },
        done: None,
    },
    outside: Lab::keeper,
    inside: |lab| lab.isolated("mnt").or_else(|| lab.youngest()),
    check,
    machine: no_machine,
};

const CHANGE: &str = "echo changed >/tmp/merged/release; rm /tmp/merged/other";

fn image_lines() -> Vec<String> {
    vec![
        format!("rm -rf /tmp/layer; mkdir -p {IMAGE} {UPPER} {WORK} {MERGED}"),
        format!("echo original >{IMAGE}/release; echo original >{IMAGE}/other"),
    ]
}

fn stacked_lines() -> Vec<String> {
    let options = format!("lowerdir={IMAGE},upperdir={UPPER},workdir={WORK}");
    vec![format!(
        "unshare --mount sh -c 'mount -t overlay -o {options} overlay {MERGED}; {CHANGE}; sleep 1000' &"
    )]
}

/// The image as it was made, and an empty layer.
fn image(lab: &Lab) -> Result<()> {
    lab.outside(&|| {
        if Path::new("/tmp/layer").exists() {
            sys::removal::remove_tree(Path::new("/tmp/layer"))?;
        }
        for directory in [IMAGE, "/tmp/layer", UPPER, WORK, MERGED] {
            make_dir(Path::new(directory))?;
        }
        for file in ["release", "other"] {
            sys::fs::write_for(&Path::new(IMAGE).join(file), b"original\n", 0o644, 0, 0)?;
        }
        Ok(())
    })
}

fn stacked(lab: &Lab) -> Result<()> {
    lab.contain(Kinds::MOUNT, Life::Sleep, &|| {
        mount::make_private()?;
        let open = |path: &str| sys::fs::open_dir(Path::new(path));
        let (image, upper, work) = (open(IMAGE)?, open(UPPER)?, open(WORK)?);
        let layer = |fd, path| Layer { fd, path: Path::new(path) };
        let writable =
            Writable { upper: layer(upper.as_fd(), UPPER), work: layer(work.as_fd(), WORK), volatile: false };
        let overlay = lab::stack(layer(image.as_fd(), IMAGE), writable, Path::new(MERGED))?;
        place(overlay.as_fd())?;
        change()
    })
}

fn place(mount: std::os::fd::BorrowedFd<'_>) -> Result<()> {
    let place = Path::new(MERGED);
    Ok(mount::place(mount, sys::fs::open_path_following(place)?.as_fd(), place)?)
}

/// What a container does to its files: one is written, one removed.
fn change() -> Result<()> {
    sys::fs::write_for(Path::new("/tmp/merged/release"), b"changed\n", 0o644, 0, 0)?;
    Ok(sys::fs::remove_file(Path::new("/tmp/merged/other"))?)
}

fn content(path: &str) -> String {
    match std::fs::read_to_string(path) {
        Ok(text) => text.trim().to_owned(),
        Err(error) => error.to_string(),
    }
}

/// What is in the layer: a whiteout is a character device 0, 0 (overlayfs.rst, "whiteouts and opaque directories").
fn upper(_: &View) -> String {
    use std::os::unix::fs::FileTypeExt as _;
    let mut rows: Vec<String> = std::fs::read_dir(UPPER)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| {
            let whiteout = entry.file_type().is_ok_and(|kind| kind.is_char_device());
            format!("{} {}", if whiteout { "c 0, 0" } else { "-" }, entry.file_name().to_string_lossy())
        })
        .collect();
    rows.sort();
    if rows.is_empty() { "-".to_owned() } else { rows.join("\n") }
}

fn check(lab: &Lab) -> Result<Verdict> {
    let image = lab.see_outside(&|_: &View| content("/tmp/image/release"))?;
    let layer = lab.see_outside(&|_: &View| content("/tmp/layer/upper/release"))?;
    let mounts = lab.isolated("mnt").map(|pid| std::fs::read_to_string(format!("/proc/{pid}/mountinfo")));
    Ok(judge(&image, &layer, is_overlay(&mounts.transpose()?.unwrap_or_default())))
}

/// Whether an overlay is mounted there (proc_pid_mountinfo(5)). PURE.
fn is_overlay(mountinfo: &str) -> bool {
    let at = |line: &&str| line.split(' ').nth(4) == Some(MERGED);
    mountinfo
        .lines()
        .filter(at)
        .any(|line| line.split_once(" - ").is_some_and(|(_, rest)| rest.starts_with("overlay ")))
}

/// PURE.
fn judge(image: &str, layer: &str, overlay: bool) -> Verdict {
    let values = vec![("image", image.to_owned()), ("layer", layer.to_owned())];
    match (image, layer, overlay) {
        ("original", "changed", true) => Verdict::holds(values),
        ("changed", ..) => Verdict::leaks(values),
        _ => Verdict::nothing(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::lesson::State;

    #[test]
    fn the_change_has_to_be_in_the_layer_and_not_in_the_image() {
        assert!(is_overlay("40 1 0:50 / /tmp/merged rw - overlay overlay rw,lowerdir=/x\n"));
        assert!(!is_overlay("40 1 0:50 /image /tmp/merged rw - tmpfs tmpfs rw\n"));
        for (image, layer, overlay, state) in [
            ("original", "changed", true, State::Holds),
            ("original", "changed", false, State::Nothing),
            ("changed", "", false, State::Leaks),
            ("original", "", true, State::Nothing),
        ] {
            assert_eq!(judge(image, layer, overlay).state, state);
        }
    }
}
