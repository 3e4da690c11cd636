//! A layer that attacks: handed over in both ways, run, and looked for outside its own directory.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tests::delivery::BOTH;
use tests::{Host, Image, Tarball};

/// What a file is called that must be nowhere outside its layer.
pub(crate) const MARK: &str = "mini-evil-mark";
/// What every attacking layer has at its top, so that its directory is recognised.
const TOP: &str = "mini-layer-top";
/// A directory of the host, as a layer would name it.
pub(crate) const TARGET: &str = "/run/mini-test/work";

/// Whether it must be refused, or may be taken as long as everything stays inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Refused,
    EitherWay,
    Valid,
}

/// Hands a layer over in both ways and looks for what it did outside.
#[track_caller]
pub(crate) fn attack(fate: Fate, layers: impl IntoIterator<Item = Tarball>, script: &str, expected: &str) {
    let image = layers.into_iter().fold(Image::busybox(), Image::with);
    for delivery in BOTH {
        let host = Host::new();
        let canary = host.work().join("canary");
        fs::write(&canary, "alive").expect("write");
        let (output, name) = delivery.hand_over(&host, &image);
        assert!(output.status.code().is_some(), "{delivery:?}: {output}");
        assert!(!output.err().contains("panicked"), "{delivery:?}: {output}");
        stays_inside(&host, &canary);
        match (fate, output.status.success()) {
            (Fate::Refused, true) => panic!("{delivery:?}: taken: {output}"),
            (Fate::Valid, false) => panic!("{delivery:?}: refused: {output}"),
            (_, false) => {
                assert_eq!(host.mini(["images", "-q"]).run().ok().text(), "", "refused, and yet there");
            }
            (_, true) => {
                let seen = host.mini(["run", "--rm", &name, "sh", "-c", script]).run().ok();
                assert_eq!(seen.text(), expected, "{delivery:?}: {seen}");
                stays_inside(&host, &canary);
            }
        }
    }
}

/// The canary lives, nothing was put beside it, and no mark lies outside a layer's own directory.
#[track_caller]
fn stays_inside(host: &Host, canary: &Path) {
    assert_eq!(fs::read_to_string(canary).expect("the canary is there"), "alive");
    let meta = fs::metadata(canary).expect("stat");
    assert_eq!(
        (meta.nlink(), meta.uid(), meta.mode() & 0o7777),
        (1, 0, 0o644),
        "the canary was linked, owned or opened"
    );
    let beside: Vec<_> =
        fs::read_dir(host.work()).expect("read").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(beside, ["canary"]);
    for place in ["/", "/etc", "/run", "/tmp", "/var/lib", "/run/mini-test", "/root"] {
        assert!(!Path::new(place).join(MARK).exists(), "a mark in {place}");
    }
    let (mut marks, mut tops) = (Vec::new(), Vec::new());
    search(&host.root(), &mut |path| {
        if path.file_name().is_some_and(|name| name == MARK) {
            marks.push(path.to_owned());
        } else if path.file_name().is_some_and(|name| name == TOP) {
            tops.push(path.parent().expect("it lies somewhere").to_owned());
        }
    });
    for mark in marks {
        assert!(
            tops.iter().any(|top| mark.starts_with(top)),
            "{} lies in no layer of {tops:?}",
            mark.display()
        );
    }
}

pub(crate) fn search(directory: &Path, visit: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        visit(&entry.path());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            search(&entry.path(), visit);
        }
    }
}

pub(crate) fn layer() -> Tarball {
    Tarball::new().file(TOP, 0o644, "")
}

pub(crate) fn mark(layer: Tarball, name: &str) -> Tarball {
    layer.file(name, 0o644, "evil")
}
