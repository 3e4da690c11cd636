//! `mini login`: whether a registry lets somebody in.

use reqwest::Method;
use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

use super::challenge::Challenge;
use super::credential::Credential;
use super::http::{Authorization, HttpError, Request, without_query};
use super::{Hosts, Registry, RegistryError, Timeouts};

/// Who wants to be let in, and how to ask.
#[derive(Debug, Clone)]
pub struct LoginOptions {
    /// The user's name.
    pub user: String,
    /// The password, or a token that stands for it.
    pub password: String,
    /// Refuse every registry that is not on this machine.
    pub offline: bool,
    /// How long to wait for the registry.
    pub timeouts: Timeouts,
    /// How hosts are reached that want something of their own.
    pub hosts: Hosts,
}

/// Why somebody is not let in.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The registry does not know this name with this password; docker's words.
    #[error("login attempt to {url} failed with status: {status}")]
    Refused {
        /// What was asked.
        url: String,
        /// Its answer.
        status: String,
    },
    /// The token service does not.
    #[error("unauthorized: incorrect username or password")]
    Token(#[source] Box<RegistryError>),
    /// There is no such registry, or it does not answer as one.
    #[error(transparent)]
    Registry(Box<RegistryError>),
    /// The async runtime could not be made.
    #[error("preparing to speak to the network")]
    Runtime(#[source] std::io::Error),
}

/// Asks a registry whether it knows somebody. Blocks. Returns what to show it from now on instead of the password, where its token
/// service gives such a thing (an identity token: an OAuth 2 refresh token).
///
/// # Errors
/// It does not, or there is no such registry.
pub fn log_in(registry: &str, options: &LoginOptions) -> Result<Option<String>, LoginError> {
    let registry = Registry::whole(registry, options.timeouts, options.offline, &options.hosts)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(LoginError::Runtime)?;
    runtime.block_on(async { registry.settle().await?.log_in(options).await })
}

impl Registry {
    async fn log_in(&self, options: &LoginOptions) -> Result<Option<String>, LoginError> {
        let ask = |authorization| {
            let (url, headers) = (self.base.clone(), HeaderMap::new());
            self.http.send(Request { method: Method::GET, url, headers, authorization, form: None })
        };
        let response = ask(None).await?;
        if response.status().is_success() {
            return Ok(None);
        }
        // Where a redirect has led to may not say who is to get the password.
        if !self.is_ours(&response) {
            return Err(self.refusal(response, "/v2/").await.into());
        }
        let challenges = response.headers().get_all(WWW_AUTHENTICATE);
        let challenges = Challenge::parse(challenges.iter().filter_map(|value| value.to_str().ok()));
        let (user, password) = (options.user.clone(), options.password.clone());
        let (authorization, identity) = match challenges.into_iter().next() {
            Some(Challenge::Bearer { realm, service }) => {
                let credential = Credential::Password { user, password };
                let token = self.token(&realm, service.as_deref(), Some(&credential)).await;
                let tokens = token.map_err(|error| match error {
                    RegistryError::Denied { .. } => LoginError::Token(Box::new(error)),
                    error => error.into(),
                })?;
                (Authorization::Bearer(tokens.access), tokens.identity)
            }
            Some(Challenge::Basic) => (Authorization::Basic { user, password }, None),
            None => return Err(self.refusal(response, "/v2/").await.into()),
        };
        let response = ask(Some(authorization)).await?;
        match response.status() {
            status if status.is_success() => Ok(identity),
            status if status.is_client_error() => {
                Err(LoginError::Refused { url: without_query(&self.base), status: status.to_string() })
            }
            _ => Err(self.refusal(response, "/v2/").await.into()),
        }
    }
}

impl From<RegistryError> for LoginError {
    fn from(error: RegistryError) -> Self {
        Self::Registry(Box::new(error))
    }
}

impl From<HttpError> for LoginError {
    fn from(error: HttpError) -> Self {
        RegistryError::from(error).into()
    }
}
