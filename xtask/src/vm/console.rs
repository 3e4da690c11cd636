//! What the machine's console says: the boot, the command's output, its exit status. PURE.
//!
//! ```text
//! … the boot …        kept, and shown where it does not come further
//! @@ begin
//! … the output …      passed on
//! @@ end STATUS
//! … the end …         of no interest
//! ```

/// What a kernel says last.
pub(super) const PANIC: &str = "Kernel panic - not syncing";

/// Reads the console line by line.
pub(super) enum Console {
    Boot(Vec<String>),
    /// `panicked`: the machine's kernel said its last.
    Output {
        panicked: bool,
    },
    Ended(u8),
}

impl Console {
    pub(super) fn new() -> Self {
        Console::Boot(Vec::new())
    }

    /// Takes in a line; returns what of it is the command's output.
    pub(super) fn line(&mut self, line: &str) -> Option<String> {
        let line = line.trim_end_matches(['\r', '\n']);
        match self {
            Console::Boot(lines) => {
                // The firmware clears the screen without ending its line.
                if line.ends_with("@@ begin") {
                    *self = Console::Output { panicked: false };
                } else {
                    lines.push(line.to_owned());
                }
                None
            }
            Console::Output { panicked } => {
                *panicked |= line.contains(PANIC);
                // Output that does not end its line is followed by the mark all the same.
                let Some((before, status)) = line.split_once("@@ end ") else { return Some(line.to_owned()) };
                *self = Console::Ended(status.trim().parse().unwrap_or(u8::MAX));
                (!before.is_empty()).then(|| before.to_owned())
            }
            Console::Ended(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_lies_between_the_marks() {
        let mut console = Console::new();
        let lines =
            ["SeaBIOS\r\n", "\x1b[2J@@ begin\r\n", "one\r\n", "\r\n", "two@@ end 3\r\n", "Power down\r\n"];
        let output: Vec<String> = lines.iter().filter_map(|line| console.line(line)).collect();
        assert_eq!(output, ["one", "", "two"]);
        assert!(matches!(console, Console::Ended(3)));
    }

    #[test]
    fn a_panic_under_the_command_is_noticed() {
        let mut console = Console::new();
        for line in
            ["@@ begin\r\n", "test one ... ok\r\n", "[  9.8] Kernel panic - not syncing: Fatal exception\r\n"]
        {
            assert!(matches!(console, Console::Boot(_) | Console::Output { panicked: false }));
            console.line(line);
        }
        assert!(matches!(console, Console::Output { panicked: true }));
    }

    #[test]
    fn a_boot_that_breaks_off_keeps_its_lines() {
        let mut console = Console::new();
        assert_eq!(console.line("Kernel panic\r\n"), None);
        assert!(matches!(console, Console::Boot(lines) if lines == ["Kernel panic"]));
    }
}
