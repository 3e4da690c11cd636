//! A thousand containers: all listed, in their order, found by what is asked for, told apart by the beginnings of their ids.

use std::collections::BTreeSet;

use tests::{Host, Running};

const MANY: usize = 1000;
/// How many are made at a time.
const TOGETHER: usize = 8;

#[test]
fn a_thousand_are_listed_found_and_removed() {
    let host = Host::with_busybox();
    let mut ids: Vec<String> = Vec::new();
    for group in 0..MANY / TOGETHER {
        let create = |one: usize| {
            let number = group * TOGETHER + one;
            let (name, label) = (format!("box{number:03}"), format!("group={}", group % 5));
            host.spawn(["create", "--name", &name, "-l", &label, "busybox", "true"])
        };
        let made: Vec<Running> = (0..TOGETHER).map(create).collect();
        ids.extend(made.into_iter().map(|one| one.wait().ok().line()));
    }
    host.start(["--name", "runs", "busybox", "sleep", "1000"]);
    let ps = |flags: &[&str]| host.mini(["ps", "-a"]).args(flags).run().ok().lines();

    // All of them, and each once; the youngest first.
    let listed = ps(&["--no-trunc", "-q"]);
    assert_eq!(listed.len(), MANY + 1);
    let all: BTreeSet<_> = listed.iter().collect();
    assert!(all.len() == MANY + 1 && ids.iter().all(|id| all.contains(id)));
    let names = ps(&["--format", "{{.Names}}"]);
    assert_eq!(names[0], "runs");
    let groups: Vec<usize> =
        names[1..].iter().map(|name| name[3..].parse::<usize>().expect("a number") / TOGETHER).collect();
    assert!(groups.windows(2).all(|pair| pair[0] >= pair[1]), "{names:?}");
    host.mini(["ps", "--format", "{{.Names}}"]).run().ok().stdout("runs\n");
    assert_eq!(ps(&["-n", "3", "--format", "{{.Names}}"]), names[..3]);

    for (filter, expected) in [
        ("name=^box00", 10),
        ("label=group=2", MANY / 5),
        ("label=group", MANY),
        ("status=created", MANY),
        ("status=running", 1),
        ("ancestor=busybox", MANY + 1),
    ] {
        assert_eq!(ps(&["-q", "--filter", filter]).len(), expected, "{filter}");
    }
    let middle = names[MANY / 2].as_str();
    let younger = ps(&["--format", "{{.Names}}", "--filter", &format!("since={middle}")]);
    assert_eq!(younger, names[..MANY / 2]);
    let objects = host.mini(["ps", "-a", "--format", "json"]).run().ok().json_lines();
    assert_eq!(objects.len(), MANY + 1);

    // As few digits as tell one from all others, and one less.
    let mut sorted = listed.clone();
    sorted.sort();
    for at in [1, MANY / 3, MANY / 2, MANY - 1] {
        let id = &sorted[at];
        let common = |other: &String| id.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
        let shared = common(&sorted[at - 1]).max(common(&sorted[at + 1]));
        let found = host.mini(["inspect", &id[..=shared]]).run().ok().json();
        assert_eq!(found[0]["Id"], id.as_str());
        if shared > 0 {
            // What could be a name is none.
            host.mini(["inspect", &id[..shared]]).run().error(1, &["several"]);
        }
    }
    let found = host.mini(["inspect", "box007", "box999", "runs"]).run().ok().json();
    assert_eq!(found.as_array().map(Vec::len), Some(3));
    host.mini(["start", "-a", "box500"]).run().ok();
    host.mini(["system", "check"]).run().ok().stdout("");

    host.mini(["rm", "-f"]).args(&listed).patient(2).run().ok();
    assert_eq!(ps(&["-q"]).len(), 0);
    let names = std::fs::read_dir(host.run_root().join("names")).expect("read").count();
    assert_eq!(names, 0);
}
