//! The keys that leave a container alone: ctrl-p, ctrl-q, as docker's. PURE.

/// ctrl-p
const FIRST: u8 = 0x10;
/// ctrl-q
const SECOND: u8 = 0x11;

/// Watches what a user types.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    /// The first key was the last one typed: it is kept until the next says what it meant.
    first: bool,
}

/// What was typed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    /// For the container.
    Input(Vec<u8>),
    /// The keys; before them, this for the container.
    Detach(Vec<u8>),
}

impl Keys {
    /// Takes what was typed.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Typed {
        let mut input = Vec::with_capacity(bytes.len() + 1);
        for byte in bytes {
            match (self.first, *byte) {
                (true, SECOND) => return Typed::Detach(input),
                (true, FIRST) => input.push(FIRST),
                (true, other) => {
                    self.first = false;
                    input.extend([FIRST, other]);
                }
                (false, FIRST) => self.first = true,
                (false, other) => input.push(other),
            }
        }
        Typed::Input(input)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_both_keys_one_after_the_other_detach() {
        let input = |bytes: &[u8]| Typed::Input(bytes.to_vec());
        for (typed, expected) in [
            (vec![&b"ls\n"[..]], vec![input(b"ls\n")]),
            (vec![b"a\x10\x11b"], vec![Typed::Detach(b"a".to_vec())]),
            (vec![b"\x10", b"\x11"], vec![input(b""), Typed::Detach(Vec::new())]),
            (vec![b"\x10", b"x"], vec![input(b""), input(b"\x10x")]),
            (vec![b"\x10\x10\x11"], vec![Typed::Detach(b"\x10".to_vec())]),
            (vec![b"\x11"], vec![input(b"\x11")]),
        ] {
            let mut keys = Keys::default();
            let got: Vec<Typed> = typed.iter().map(|bytes| keys.take(bytes)).collect();
            assert_eq!(got, expected, "{typed:?}");
        }
    }
}
