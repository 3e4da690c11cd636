//! Manual pages: one for every command, as man(1) wants them.

use std::fs;
use std::path::Path;
use std::process::Command;

use tests::reference::Reference;
use tests::{Host, Mini};

/// How man(1) shows a page, 100 columns wide; a page that groff complains of fails.
#[track_caller]
fn shown(page: &Path) -> String {
    let mut command = Command::new("man");
    command.args(["--warnings", "--local-file"]).arg(page);
    command.env_clear().envs([("PATH", "/usr/bin:/bin"), ("MANWIDTH", "100"), ("LANG", "C.UTF-8")]);
    let output = Mini::new(command).run().ok();
    assert!(output.err().is_empty(), "{}: {}", page.display(), output.err());
    // As a terminal without attributes has it.
    let mut text = String::new();
    for letter in output.text().chars() {
        match letter {
            '\u{8}' => {
                text.pop();
            }
            letter => text.push(letter),
        }
    }
    text.replace(['\u{2010}', '\u{2011}'], "-")
}

#[test]
fn every_command_has_a_page_with_flags_and_examples_and_others_to_see() {
    let host = Host::new();
    let directory = host.work().join("made/man1");
    let output = host.mini(["man"]).arg(&directory).run().ok();
    output.stdout("").stderr_has("pages in");
    let reference = Reference::of(&host);
    let shown_commands = reference.commands.iter().filter(|command| !command.path.contains("__"));
    let mut pages = 0;
    for command in shown_commands {
        let page = directory.join(format!("{}.1", command.path.replace(' ', "-")));
        let text = shown(&page);
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let summary = command.all["summary"].as_str().expect("a summary");
        assert!(words.contains(&format!("{} - {summary}", command.path.replace(' ', "-"))), "{text}");
        for line in command.texts("examples") {
            assert!(text.lines().any(|shown| shown.trim() == line), "{line}:\n{text}");
        }
        for other in command.texts("see_also").iter().filter(|other| !other.contains(" -")) {
            let page =
                if other.ends_with(')') { other.clone() } else { format!("{}(1)", other.replace(' ', "-")) };
            assert!(words.contains(&page), "{page}:\n{text}");
        }
        for flag in command.flags().filter(|flag| !flag.is("hidden")) {
            let name = flag.names().remove(0);
            assert!(words.contains(&name), "{name}:\n{text}");
        }
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES", "SEE ALSO"] {
            assert!(text.lines().any(|line| line == section), "{section}:\n{text}");
        }
        pages += 1;
    }
    assert_eq!(fs::read_dir(&directory).expect("the directory").count(), pages, "and no other page");
}

#[test]
fn pages_are_for_everybody_and_are_written_anew() {
    use std::os::unix::fs::PermissionsExt;
    let host = Host::new();
    let directory = host.work().join("man1");
    host.mini(["man"]).arg(&directory).run().ok();
    let page = directory.join("mini-run.1");
    assert_eq!(fs::metadata(&page).expect("a page").permissions().mode() & 0o7777, 0o644);
    let text = fs::read_to_string(&page).expect("a page");
    fs::write(&page, "old").expect("write");
    host.mini(["man"]).arg(&directory).run().ok();
    assert_eq!(fs::read_to_string(&page).expect("a page"), text);
    // Without root, and without anything else of mini's.
    let copy = host.work().join("mini");
    fs::copy(host.binary(), &copy).expect("copy the binary to where everybody may read");
    let own = host.work().join("own");
    fs::create_dir(&own).expect("mkdir");
    std::os::unix::fs::chown(&own, Some(65534), Some(65534)).expect("chown");
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&copy);
    command.args(["man", "own/pages"]).current_dir(host.work());
    Mini::new(command).run().ok();
    assert!(own.join("pages/mini.1").exists());
    host.mini(["man", "/proc/no/such"]).run().error(1, &["/proc/no/such"]);
}
