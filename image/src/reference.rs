//! Image references, normalised exactly as docker does it. PURE.
//!
//! `busybox` means `docker.io/library/busybox:latest`, `localhost/x` and `host:5000/x` name a registry, and
//! what docker refuses is refused here in docker's words: scripts compare names, and a name that two tools
//! read differently pulls different software. The grammar is that of `distribution/reference`.

use std::fmt;
use std::str::FromStr;

use crate::digest::{Digest, DigestError, is_hexadecimal};

/// A parsed reference: `registry/repository[:tag][@digest]`.
///
/// A tag is never made up: see [`Reference::with_default_tag`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text is no reference; the messages begin as docker's do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// The text does not follow the grammar.
    #[error("invalid reference format: {0:?}")]
    Format(String),
    /// Repositories are lower case.
    #[error("invalid reference format: repository name ({0}) must be lowercase")]
    Uppercase(String),
    /// 64 hexadecimal digits are an image id.
    #[error("invalid repository name ({0}), cannot specify 64-byte hexadecimal strings")]
    Identifier(String),
    /// More than 255 bytes of repository.
    #[error("repository name must not be more than {REPOSITORY_MAX} characters: {0:?}")]
    TooLong(String),
    /// What follows `@` is no digest that mini can check.
    #[error("invalid reference {text:?}")]
    Digest {
        /// The whole reference.
        text: String,
        /// What is wrong with its digest.
        #[source]
        source: DigestError,
    },
}

/// The registry of a name without one.
pub const DEFAULT_REGISTRY: &str = "docker.io";
const LEGACY_DEFAULT_REGISTRY: &str = "index.docker.io";
const OFFICIAL_PREFIX: &str = "library/";
const DEFAULT_TAG: &str = "latest";
const REPOSITORY_MAX: usize = 255;
const TAG_MAX: usize = 128;

impl Reference {
    /// The registry's name, with its port if one was given; `docker.io` by default.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository on that registry: `library/busybox`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, if one was given.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if one was given. It wins over the tag.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// The same reference with the tag `latest`, if it had neither tag nor digest.
    #[must_use]
    pub fn with_default_tag(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some(DEFAULT_TAG.to_owned());
        }
        self
    }

    /// `registry/repository:tag`, without a digest; `None` where that is no tag.
    pub fn tagged(&self, tag: &str) -> Option<Self> {
        is_tag(tag).then(|| Self { tag: Some(tag.to_owned()), digest: None, ..self.clone() })
    }

    /// `registry/repository@digest`, without a tag.
    #[must_use]
    pub fn pinned(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }

    /// Whether both name the same repository of the same registry.
    pub fn same_repository(&self, other: &Self) -> bool {
        self.registry == other.registry && self.repository == other.repository
    }

    /// The repository as docker prints it: `busybox`, `user/app`, `localhost:5000/app`. Where that would be read as something else it
    /// is whole.
    pub fn familiar_name(&self) -> String {
        if self.registry != DEFAULT_REGISTRY {
            return format!("{}/{}", self.registry, self.repository);
        }
        let short = match self.repository.strip_prefix(OFFICIAL_PREFIX) {
            Some(official) if !official.contains('/') => official,
            _ => &self.repository,
        };
        // `docker.io/gcr.io/app` must not look like `gcr.io/app`, nor a name like an id.
        let (registry, prefix, rest) = split_registry(short);
        let is_read_so = registry == DEFAULT_REGISTRY && self.repository.strip_prefix(prefix) == Some(rest);
        if is_read_so && !is_identifier(short) {
            short.to_owned()
        } else {
            format!("{}/{}", self.registry, self.repository)
        }
    }

    /// The whole reference as docker prints it: `busybox:latest`.
    pub fn familiar(&self) -> String {
        format!("{}{}", self.familiar_name(), self.suffix())
    }

    /// `:tag@digest`, as much of it as there is.
    fn suffix(&self) -> String {
        let tag = self.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
        let digest = self.digest.map(|digest| format!("@{digest}")).unwrap_or_default();
        tag + &digest
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}{}", self.registry, self.repository, self.suffix())
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if is_identifier(text) {
            return Err(ReferenceError::Identifier(text.to_owned()));
        }
        let format = || ReferenceError::Format(text.to_owned());
        let (registry, prefix, remainder) = split_registry(text);
        let checked_for_case = split_at(remainder, ':').0;
        if checked_for_case.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(ReferenceError::Uppercase(format!("{prefix}{checked_for_case}")));
        }
        let (name, digest) = split_at(remainder, '@');
        let (repository, tag) = split_at(name, ':');
        if !is_registry(registry) || !is_repository(repository) || tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(format());
        }
        if prefix.len() + repository.len() > REPOSITORY_MAX {
            return Err(ReferenceError::TooLong(format!("{prefix}{repository}")));
        }
        let digest = digest
            .map(|digest| {
                if digest.is_empty() {
                    Err(format())
                } else {
                    digest.parse().map_err(|source| ReferenceError::Digest { text: text.to_owned(), source })
                }
            })
            .transpose()?;
        Ok(Self {
            registry: registry.to_owned(),
            repository: [prefix, repository].concat(),
            tag: tag.map(str::to_owned),
            digest,
        })
    }
}

/// What stands before the first separator, and what behind it where there is one.
fn split_at(text: &str, separator: char) -> (&str, Option<&str>) {
    text.split_once(separator).map_or((text, None), |(before, behind)| (before, Some(behind)))
}

/// The registry, what the repository begins with beyond what was typed, and the rest. Docker's rule for what is a
/// registry: the part before the first slash, if it is `localhost`, has a dot or a colon, or is not lower case (a
/// repository could not be that).
fn split_registry(text: &str) -> (&str, &'static str, &str) {
    let is_telling = |letter: char| matches!(letter, '.' | ':') || letter.is_ascii_uppercase();
    let (registry, remainder) = match text.split_once('/') {
        Some((first, rest)) if first == "localhost" || first.contains(is_telling) => (first, rest),
        _ => (DEFAULT_REGISTRY, text),
    };
    let registry = if registry == LEGACY_DEFAULT_REGISTRY { DEFAULT_REGISTRY } else { registry };
    let is_official = registry == DEFAULT_REGISTRY && !remainder.contains('/');
    (registry, if is_official { OFFICIAL_PREFIX } else { "" }, remainder)
}

/// 64 lower-case hexadecimal digits: always an image id, never a name.
pub(crate) fn is_identifier(text: &str) -> bool {
    text.len() == 64 && is_hexadecimal(text)
}

/// A host name, an IPv4 address or a bracketed IPv6 address, with an optional port.
fn is_registry(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let Some((address, port)) = rest.split_once(']') else { return false };
            let hexadecimal = |byte: u8| byte.is_ascii_hexdigit() || byte == b':';
            if address.is_empty() || !address.bytes().all(hexadecimal) {
                return false;
            }
            ("", port)
        }
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let port_is_valid = port.is_empty()
        || port
            .strip_prefix(':')
            .is_some_and(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
    port_is_valid && (text.starts_with('[') || host.split('.').all(is_host_label))
}

fn is_host_label(label: &str) -> bool {
    let alphanumeric = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    alphanumeric(label.bytes().next())
        && alphanumeric(label.bytes().last())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn is_repository(text: &str) -> bool {
    text.split('/').all(is_repository_component)
}

/// Runs of `[a-z0-9]` joined by one dot, one or two underscores, or any number of dashes.
fn is_repository_component(component: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut rest = component.as_bytes();
    loop {
        let run = rest.iter().take_while(|byte| is_plain(**byte)).count();
        if run == 0 {
            return false;
        }
        rest = &rest[run..];
        if rest.is_empty() {
            return true;
        }
        let separator = rest.iter().take_while(|byte| !is_plain(**byte)).count();
        let is_valid =
            matches!(&rest[..separator], b"." | b"_" | b"__") || rest[..separator].iter().all(|b| *b == b'-');
        if !is_valid {
            return false;
        }
        rest = &rest[separator..];
    }
}

fn is_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= TAG_MAX
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn names_are_normalised_as_docker_does() {
        for (input, whole, familiar) in [
            ("busybox", "docker.io/library/busybox", "busybox"),
            ("busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"),
            ("library/busybox", "docker.io/library/busybox", "busybox"),
            ("docker.io/busybox", "docker.io/library/busybox", "busybox"),
            ("index.docker.io/busybox:x", "docker.io/library/busybox:x", "busybox:x"),
            ("index.docker.io/user/app", "docker.io/user/app", "user/app"),
            ("user/app", "docker.io/user/app", "user/app"),
            ("library/a/b", "docker.io/library/a/b", "library/a/b"),
            ("localhost/app", "localhost/app", "localhost/app"),
            ("localhost:5000/app", "localhost:5000/app", "localhost:5000/app"),
            ("localhost/library/app", "localhost/library/app", "localhost/library/app"),
            ("127.0.0.1:5000/a/b:c", "127.0.0.1:5000/a/b:c", "127.0.0.1:5000/a/b:c"),
            ("[::1]:5000/app", "[::1]:5000/app", "[::1]:5000/app"),
            ("[fc00::1]/app:1", "[fc00::1]/app:1", "[fc00::1]/app:1"),
            ("test.com:5000", "docker.io/library/test.com:5000", "test.com:5000"),
            ("Foo/bar", "Foo/bar", "Foo/bar"),
            (
                "xn--n3h.com/myimage:xn--n3h.com",
                "xn--n3h.com/myimage:xn--n3h.com",
                "xn--n3h.com/myimage:xn--n3h.com",
            ),
            ("a__b/c.d-e--f_g", "docker.io/a__b/c.d-e--f_g", "a__b/c.d-e--f_g"),
            // What would be read as another registry's is written whole.
            ("docker.io/gcr.io/app", "docker.io/gcr.io/app", "docker.io/gcr.io/app"),
            ("docker.io/docker.io/app:1", "docker.io/docker.io/app:1", "docker.io/docker.io/app:1"),
            ("lower:UPPER_.-", "docker.io/library/lower:UPPER_.-", "lower:UPPER_.-"),
        ] {
            let reference: Reference = input.parse().unwrap_or_else(|error| panic!("{input}: {error}"));
            assert_eq!(reference.to_string(), whole, "{input}");
            assert_eq!(reference.familiar(), familiar, "{input}");
            assert_eq!(whole.parse::<Reference>().unwrap(), reference, "{whole} parses to itself");
        }
    }

    #[test]
    fn digests_come_with_and_without_a_tag() {
        let both: Reference = format!("busybox:1@sha256:{HEX}").parse().unwrap();
        assert_eq!((both.tag(), both.digest().unwrap().hex().as_str()), (Some("1"), HEX));
        assert_eq!(both.familiar(), format!("busybox:1@sha256:{HEX}"));
        let pinned = both.pinned(both.digest().unwrap());
        assert_eq!(pinned.to_string(), format!("docker.io/library/busybox@sha256:{HEX}"));
        assert_eq!(pinned.clone().with_default_tag(), pinned, "a digest needs no tag");
        assert_eq!("busybox".parse::<Reference>().unwrap().with_default_tag().tag(), Some("latest"));
    }

    #[test]
    fn what_docker_refuses_is_refused_in_its_words() {
        let long = "a".repeat(256);
        for (input, message) in [
            ("", "invalid reference format"),
            ("Busybox", "invalid reference format: repository name (library/Busybox) must be lowercase"),
            ("user/App:x", "invalid reference format: repository name (user/App) must be lowercase"),
            (HEX, "cannot specify 64-byte hexadecimal strings"),
            ("busybox:", "invalid reference format"),
            ("busybox@", "invalid reference format"),
            (":x", "invalid reference format"),
            ("/busybox", "invalid reference format"),
            ("busybox/", "invalid reference format"),
            ("a//b", "invalid reference format"),
            ("-busybox", "invalid reference format"),
            ("busybox-", "invalid reference format"),
            ("a..b", "invalid reference format"),
            ("a___b", "invalid reference format"),
            ("a._b", "invalid reference format"),
            ("busy box", "invalid reference format"),
            ("busybox:a/b", "invalid reference format"),
            ("busybox:.x", "invalid reference format"),
            ("a:b:c", "invalid reference format"),
            ("host.:5000/x", "invalid reference format"),
            ("host:port/x", "invalid reference format"),
            ("[::1/x", "invalid reference format"),
            ("[]/x", "invalid reference format"),
            ("https://docker.io/busybox", "invalid reference format"),
            ("ünïcode", "invalid reference format"),
            ("busybox@sha256:abcd", "invalid reference"),
            (&format!("busybox@md5:{}", &HEX[..32]), "invalid reference"),
            (&long, "must not be more than 255 characters"),
            (&format!("busybox:{}", &long[..129]), "invalid reference format"),
        ] {
            let error = input.parse::<Reference>().expect_err(input).to_string();
            assert!(error.contains(message), "{input}: {error}");
        }
        assert!(format!("busybox:{}", &long[..128]).parse::<Reference>().is_ok());
        assert!(format!("x.y/{}", &long[..255]).parse::<Reference>().is_ok());
    }
}
