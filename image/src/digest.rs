//! SHA-256 digests: how everything in a store and on a registry is named. PURE.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// The SHA-256 of some bytes, written `sha256:` and 64 lower-case hexadecimal digits.
///
/// Other algorithms of the OCI image specification (sha512) are refused by name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

/// Why a text is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// Not `algorithm:hex`.
    #[error("invalid checksum digest format: {0:?}")]
    Format(String),
    /// The right algorithm, the wrong number of digits.
    #[error("invalid checksum digest length: {0:?}")]
    Length(String),
    /// An algorithm that mini does not compute.
    #[error("unsupported digest algorithm: {0:?}")]
    Algorithm(String),
}

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The 64 hexadecimal digits without `sha256:`; file names in a store are these.
    pub fn hex(&self) -> String {
        // hex::encode pushes digit by digit, and a list of images asks for hundreds.
        let mut digits = [0; 64];
        hex::encode_to_slice(self.0, &mut digits).expect("two digits a byte");
        str::from_utf8(&digits).expect("digits are ASCII").to_owned()
    }

    /// A digest from its 64 hexadecimal digits alone.
    ///
    /// # Errors
    /// What is wrong with `digits`.
    pub fn from_hex(digits: &str) -> Result<Self, DigestError> {
        if !is_hexadecimal(digits) {
            return Err(DigestError::Format(digits.to_owned()));
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| DigestError::Length(digits.to_owned()))?;
        Ok(Self(bytes))
    }
}

/// Whether these are lower-case hexadecimal digits, however many.
pub(crate) fn is_hexadecimal(digits: &str) -> bool {
    digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        match text.strip_prefix("sha256:") {
            Some(digits) => Self::from_hex(digits),
            None if text.contains(':') => Err(DigestError::Algorithm(text.to_owned())),
            None => Err(DigestError::Format(text.to_owned())),
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(DigestVisitor)
    }
}

/// Reads a digest where its text lies, without a copy.
struct DigestVisitor;

impl serde::de::Visitor<'_> for DigestVisitor {
    type Value = Digest;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("sha256: and 64 hexadecimal digits")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Digest, E> {
        text.parse().map_err(E::custom)
    }
}

/// A digest in the making.
#[derive(Debug, Clone, Default)]
pub struct Hasher(Sha256);

impl Hasher {
    /// More bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all.
    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_nothing_is_the_well_known_one() {
        let text = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(b"").to_string(), text);
        assert_eq!(text.parse::<Digest>().unwrap(), Digest::of(b""));
        let mut hasher = Hasher::default();
        hasher.update(b"ab");
        hasher.update(b"c");
        assert_eq!(hasher.finish(), Digest::of(b"abc"));
    }

    #[test]
    fn other_texts_are_refused_with_the_reason() {
        let digits = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        for (text, expected) in [
            (digits.to_owned(), DigestError::Format(digits.to_owned())),
            (format!("sha512:{digits}"), DigestError::Algorithm(format!("sha512:{digits}"))),
            (format!("sha256:{}", &digits[1..]), DigestError::Length(digits[1..].to_owned())),
            ("sha256:".to_owned(), DigestError::Length(String::new())),
            (format!("sha256:{}", digits.to_uppercase()), DigestError::Format(digits.to_uppercase())),
            ("sha256:../../etc".to_owned(), DigestError::Format("../../etc".to_owned())),
        ] {
            assert_eq!(text.parse::<Digest>(), Err(expected), "{text}");
        }
    }
}
