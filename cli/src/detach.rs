//! The keys that leave a container alone: ctrl-p, ctrl-q, as docker's, or others that the user prefers. PURE.

use anyhow::{Result, bail};

/// docker's.
const DEFAULT: [u8; 2] = [0x10, 0x11];

/// Watches what a user types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Keys {
    /// What leaves, in order.
    wanted: Vec<u8>,
    /// The beginning of it that was typed last: kept until the next key says what it meant.
    held: Vec<u8>,
}

/// What was typed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    /// For the container.
    Input(Vec<u8>),
    /// The keys; before them, this for the container.
    Detach(Vec<u8>),
}

impl Default for Keys {
    fn default() -> Self {
        Keys { wanted: DEFAULT.into(), held: Vec::new() }
    }
}

impl Keys {
    /// `ctrl-p,ctrl-q`, `a`, `ctrl-@`: letters, or ctrl- with a letter or one of `@[\\]^_`, as docker writes them; nothing is
    /// docker's own.
    ///
    /// # Errors
    /// A key that is none.
    pub(crate) fn parse(text: &str) -> Result<Keys> {
        if text.is_empty() {
            return Ok(Keys::default());
        }
        let key = |key: &str| match (key.as_bytes(), key.strip_prefix("ctrl-").map(str::as_bytes)) {
            (_, Some([letter @ b'a'..=b'z'])) => Ok(letter - b'a' + 1),
            (_, Some([sign @ (b'@' | b'['..=b'_')])) => Ok(sign - b'@'),
            ([one], None) if one.is_ascii() => Ok(*one),
            _ => bail!(
                "invalid detach keys {text:?}: {key:?} is neither one letter nor ctrl- and one of a to z, @ [ \\ ] ^ _"
            ),
        };
        Ok(Keys { wanted: text.split(',').map(key).collect::<Result<_>>()?, held: Vec::new() })
    }

    /// Takes what was typed.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Typed {
        let mut input = Vec::with_capacity(bytes.len() + self.held.len());
        for byte in bytes {
            self.held.push(*byte);
            while !self.wanted.starts_with(&self.held) {
                input.push(self.held.remove(0));
            }
            if self.held == self.wanted {
                self.held.clear();
                return Typed::Detach(input);
            }
        }
        Typed::Input(input)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_all_keys_one_after_the_other_detach() {
        let input = |bytes: &[u8]| Typed::Input(bytes.to_vec());
        let detach = |bytes: &[u8]| Typed::Detach(bytes.to_vec());
        for (keys, typed, expected) in [
            ("", vec![&b"ls\n"[..]], vec![input(b"ls\n")]),
            ("", vec![b"a\x10\x11b"], vec![detach(b"a")]),
            ("", vec![b"\x10", b"\x11"], vec![input(b""), detach(b"")]),
            ("", vec![b"\x10", b"x"], vec![input(b""), input(b"\x10x")]),
            ("", vec![b"\x10\x10\x11"], vec![detach(b"\x10")]),
            ("", vec![b"\x11"], vec![input(b"\x11")]),
            ("a,a,b", vec![b"aaab"], vec![detach(b"a")]),
            ("a,a,b", vec![b"aac"], vec![input(b"aac")]),
            ("x", vec![b"yx"], vec![detach(b"y")]),
        ] {
            let mut keys = Keys::parse(keys).unwrap();
            let got: Vec<Typed> = typed.iter().map(|bytes| keys.take(bytes)).collect();
            assert_eq!(got, expected, "{typed:?}");
        }
    }

    #[test]
    fn keys_are_written_as_docker_writes_them() {
        let bytes = |text: &str| Keys::parse(text).map(|keys| keys.wanted).ok();
        for (text, expected) in [
            ("ctrl-p,ctrl-q", Some(vec![0x10, 0x11])),
            ("ctrl-a,d", Some(vec![1, b'd'])),
            ("ctrl-@", Some(vec![0])),
            ("ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_", Some(vec![27, 28, 29, 30, 31])),
            ("ctrl-1", None),
            ("ctrl-", None),
            ("ab", None),
            ("a,,b", None),
            ("é", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }
}
