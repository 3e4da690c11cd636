//! A container's standard streams, and who stays with which of them. PURE.

use anyhow::{Result, bail};
use runtime::io::log::Stream;
use serde::{Deserialize, Serialize};

/// Which of a container's streams a client stays with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Attach {
    pub(crate) input: bool,
    pub(crate) output: bool,
    pub(crate) error: bool,
}

impl Attach {
    /// All that a container has.
    pub(crate) const ALL: Attach = Attach { input: true, output: true, error: true };

    /// Nothing: the client of a container in the background.
    pub(crate) const NONE: Attach = Attach { input: false, output: false, error: false };

    /// `-a stdin -a stdout -a stderr`, in any case; all of them where nothing is said.
    ///
    /// # Errors
    /// A word that names no stream.
    pub(crate) fn parse(words: &[String]) -> Result<Attach> {
        if words.is_empty() {
            return Ok(Attach::ALL);
        }
        let mut attach = Attach::NONE;
        for word in words {
            match word.to_lowercase().as_str() {
                "stdin" => attach.input = true,
                "stdout" => attach.output = true,
                "stderr" => attach.error = true,
                _ => bail!("invalid stream {word:?} in --attach: one of stdin, stdout, stderr"),
            }
        }
        Ok(attach)
    }

    /// Whether a stream that the container writes to is among them.
    pub(crate) fn wants(self, stream: Stream) -> bool {
        match stream {
            Stream::Output => self.output,
            Stream::Error => self.error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_named_in_any_case() {
        let parse = |words: &[&str]| {
            Attach::parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()).ok()
        };
        assert_eq!(parse(&[]), Some(Attach::ALL));
        assert_eq!(parse(&["STDOUT"]), Some(Attach { output: true, ..Attach::NONE }));
        assert_eq!(parse(&["stdin", "Stderr"]), Some(Attach { output: false, ..Attach::ALL }));
        assert_eq!(parse(&["stdin", "std"]), None);
    }
}
