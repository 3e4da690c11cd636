//! Which of several images fits: operating system, architecture, variant. PURE but for [`Platform::host`].

use std::fmt;
use std::str::FromStr;

/// A platform in the words of the OCI image specification (`linux/arm64`, `linux/arm/v7`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Platform {
    /// `linux`, in GOOS's words.
    pub os: String,
    /// `amd64`, in GOARCH's words.
    pub architecture: String,
    /// `v7`; `None` where the architecture has a usual one.
    pub variant: Option<String>,
}

/// A text that is no platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid platform {0:?}: write OS/ARCH or OS/ARCH/VARIANT, as in linux/arm64")]
pub struct PlatformError(pub String);

impl Platform {
    /// The machine that this runs on.
    pub fn host() -> Self {
        let machine = rustix::system::uname();
        Self::new("linux", &machine.machine().to_string_lossy(), None)
    }

    /// A platform with its names as docker normalises them (containerd's platforms package): `aarch64` is
    /// `arm64`, `arm` alone is its version 7, the usual variant is none.
    pub fn new(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        let (architecture, variant) =
            (architecture.to_ascii_lowercase(), variant.map(str::to_ascii_lowercase));
        let (architecture, variant) = match (architecture.as_str(), variant.as_deref().unwrap_or_default()) {
            ("x86_64" | "x86-64" | "amd64", "" | "v1") => ("amd64", None),
            ("x86_64" | "x86-64" | "amd64", other) => ("amd64", Some(other)),
            ("i386" | "i486" | "i586" | "i686" | "x86" | "386", _) => ("386", None),
            ("aarch64" | "arm64", "" | "8" | "v8") => ("arm64", None),
            ("aarch64" | "arm64", other) => ("arm64", Some(other)),
            ("armhf" | "armv7l" | "armv7", _) => ("arm", Some("v7")),
            ("armel" | "armv6l" | "armv6", _) => ("arm", Some("v6")),
            ("armv8l", _) => ("arm", Some("v8")),
            ("arm", "" | "7" | "v7") => ("arm", Some("v7")),
            ("arm", "5") => ("arm", Some("v5")),
            ("arm", "6") => ("arm", Some("v6")),
            ("arm", "8") => ("arm", Some("v8")),
            (other, "") => (other, None),
            (other, variant) => (other, Some(variant)),
        };
        Self {
            os: os.to_ascii_lowercase(),
            architecture: architecture.to_owned(),
            variant: variant.map(str::to_owned),
        }
    }

    /// Everything that runs on this platform, the best first: a processor runs its predecessors' programs.
    fn accepted(&self) -> Vec<Self> {
        let with = |architecture: &str, variant: Option<&str>| Self {
            os: self.os.clone(),
            architecture: architecture.to_owned(),
            variant: variant.map(str::to_owned),
        };
        let arm =
            |newest: u32| (5..=newest).rev().map(move |version| with("arm", Some(&format!("v{version}"))));
        let mut accepted = vec![self.clone()];
        match (self.architecture.as_str(), self.variant.as_deref()) {
            ("amd64", None) => accepted.push(with("386", None)),
            ("amd64", Some(_)) => accepted.extend([with("amd64", None), with("386", None)]),
            ("arm64", None) => accepted.extend(arm(8)),
            ("arm", Some(variant)) => {
                if let Some(version @ 6..=8) =
                    variant.strip_prefix('v').and_then(|digits| digits.parse::<u32>().ok())
                {
                    accepted.extend(arm(version - 1));
                }
            }
            _ => {}
        }
        accepted
    }

    /// The position of the best one among `offered`; those that do not say count only if nothing else fits.
    pub(crate) fn choose(&self, offered: &[Option<Self>]) -> Option<usize> {
        let fits = |wanted: &Self| offered.iter().position(|platform| platform.as_ref() == Some(wanted));
        self.accepted().iter().find_map(fits).or_else(|| offered.iter().position(Option::is_none))
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    /// `linux/arm/v7`, `linux/amd64`, or an architecture alone.
    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let word = |part: &&str| {
            !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
        };
        let parts: Vec<&str> = text.split('/').collect();
        if !parts.iter().all(word) {
            return Err(PlatformError(text.to_owned()));
        }
        match parts.as_slice() {
            ["linux"] => Ok(Self { os: "linux".to_owned(), ..Self::host() }),
            [architecture] => Ok(Self::new("linux", architecture, None)),
            [os, architecture] => Ok(Self::new(os, architecture, None)),
            [os, architecture, variant] => Ok(Self::new(os, architecture, Some(variant))),
            _ => Err(PlatformError(text.to_owned())),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(out, "/{variant}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        text.parse().unwrap()
    }

    #[test]
    fn names_are_normalised_as_docker_does() {
        for (text, normal) in [
            ("linux/amd64", "linux/amd64"),
            ("linux/x86_64", "linux/amd64"),
            ("linux/amd64/v1", "linux/amd64"),
            ("linux/amd64/v3", "linux/amd64/v3"),
            ("arm64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/armhf", "linux/arm/v7"),
            ("linux/arm/6", "linux/arm/v6"),
            ("armel", "linux/arm/v6"),
            ("linux/riscv64", "linux/riscv64"),
            ("Windows/AMD64", "windows/amd64"),
            ("linux/i686", "linux/386"),
        ] {
            assert_eq!(platform(text).to_string(), normal, "{text}");
        }
        for text in ["", "linux/", "a/b/c/d", "linux/arm v7", "/amd64"] {
            assert!(text.parse::<Platform>().is_err(), "{text:?}");
        }
        assert_eq!(platform("linux"), Platform::host());
    }

    #[test]
    fn the_best_that_runs_is_chosen() {
        for (wanted, offered, best) in [
            ("linux/amd64", "linux/arm64 linux/amd64 linux/386", Some(1)),
            ("linux/amd64", "windows/amd64 linux/386", Some(1)),
            ("linux/amd64", "windows/amd64 linux/arm64", None),
            ("linux/amd64", "linux/amd64/v3", None),
            ("linux/amd64/v3", "linux/amd64/v2 linux/amd64", Some(1)),
            ("linux/arm64", "linux/arm/v7 linux/arm64/v8", Some(1)),
            ("linux/arm64", "linux/arm/v6 linux/arm/v7", Some(1)),
            ("linux/arm/v7", "linux/arm/v5 linux/arm/v6 linux/arm64", Some(1)),
            ("linux/arm/v6", "linux/arm/v7 linux/arm/v5", Some(1)),
            ("linux/arm/v6", "linux/arm/v7", None),
            ("linux/386", "linux/amd64", None),
            ("linux/amd64", "- linux/amd64", Some(1)),
            ("linux/amd64", "linux/arm64 -", Some(1)),
        ] {
            let offers: Vec<Option<Platform>> = offered.split(' ').map(|text| text.parse().ok()).collect();
            let offers: Vec<_> =
                offers.into_iter().map(|offer| offer.filter(|offer| offer.architecture != "-")).collect();
            assert_eq!(platform(wanted).choose(&offers), best, "{wanted} among {offered}");
        }
    }
}
