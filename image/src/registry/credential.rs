//! Who the user is to a registry: docker's `config.json`, and the helpers that it names.

use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential_from_reader};

use crate::reference::DEFAULT_REGISTRY;

/// What the user may show a registry.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Credential {
    Password {
        user: String,
        password: String,
    },
    /// What `docker login` got instead of a password; exchanged for tokens (OAuth 2 refresh token).
    Identity(String),
}

/// Why the user's credentials cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The file is not what docker writes.
    #[error("docker's config.json: credentials for {registry}: {source}")]
    Config {
        /// The registry that they are for.
        registry: String,
        /// What is wrong.
        source: CredentialRetrievalError,
    },
}

/// Docker's own registry has a name of its own in `config.json`.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

impl Credential {
    /// Looks `registry` up in the content of `config.json`: an entry, a helper for it, or the helper for all.
    ///
    /// A helper is a program, `docker-credential-NAME`, found on PATH: the one thing that a pull runs,
    /// because the user's configuration says so.
    pub(crate) fn find(config: &[u8], registry: &str) -> Result<Option<Self>, CredentialError> {
        let key = if registry == DEFAULT_REGISTRY { DOCKER_HUB_KEY } else { registry };
        match get_credential_from_reader(config, key) {
            // `docker login` with a helper leaves an empty entry.
            Ok(DockerCredential::UsernamePassword(user, password))
                if user.is_empty() && password.is_empty() =>
            {
                Ok(None)
            }
            Ok(DockerCredential::UsernamePassword(user, password)) => {
                Ok(Some(Self::Password { user, password }))
            }
            Ok(DockerCredential::IdentityToken(token)) if token.is_empty() => Ok(None),
            Ok(DockerCredential::IdentityToken(token)) => Ok(Some(Self::Identity(token))),
            Err(CredentialRetrievalError::NoCredentialConfigured) => Ok(None),
            // What helpers say when they have nothing (docker-credential-helpers, "credentials not found in
            // native keychain").
            Err(CredentialRetrievalError::HelperFailure { stdout, .. })
                if stdout.contains("credentials not found") =>
            {
                Ok(None)
            }
            Err(source) => Err(CredentialError::Config { registry: registry.to_owned(), source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_file_is_read() {
        // echo -n user:pass:word | base64
        let config = br#"{
            "auths": {
                "https://index.docker.io/v1/": { "auth": "dXNlcjpwYXNzOndvcmQ=" },
                "localhost:5000": { "auth": "dXNlcjpwYXNzOndvcmQ=" },
                "https://full.example/v2/": { "username": "u", "password": "p" },
                "token.example": { "auth": "", "identitytoken": "refresh" },
                "bad.example": { "auth": "!!!" }
            }
        }"#;
        let password = |user: &str, password: &str| {
            Some(Credential::Password { user: user.into(), password: password.into() })
        };
        for (registry, expected) in [
            ("docker.io", password("user", "pass:word")),
            ("localhost:5000", password("user", "pass:word")),
            ("full.example", password("u", "p")),
            ("token.example", Some(Credential::Identity("refresh".into()))),
            ("unknown.example", None),
        ] {
            assert!(Credential::find(config, registry).unwrap() == expected, "{registry}");
        }
        for (config, registry) in [(&config[..], "bad.example"), (b"no JSON", "x")] {
            let error = Credential::find(config, registry).err().unwrap().to_string();
            assert!(error.contains(registry), "{error}");
        }
    }
}
