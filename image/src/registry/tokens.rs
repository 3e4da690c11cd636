//! What a registry is shown when it asks who is there: a password, or a token that its token service gives for one.

use reqwest::header::HeaderMap;
use reqwest::{Method, Url};
use serde::Deserialize;

use super::challenge::Challenge;
use super::credential::Credential;
use super::http::{self, Authorization, Request};
use super::{MESSAGE_MAX, Registry, RegistryError};

/// What a token service gives.
pub(super) struct Tokens {
    /// For requests, for some minutes.
    pub(super) access: String,
    /// For further tokens, instead of a password.
    pub(super) identity: Option<String>,
}

impl Registry {
    /// What to send with requests, by the first challenge that can be met.
    pub(super) async fn authorize(
        &self,
        challenges: Vec<Challenge>,
    ) -> Result<Option<Authorization>, RegistryError> {
        let credential = match &self.docker_config {
            Some(config) => Credential::find(config, &self.registry)?,
            None => None,
        };
        for challenge in challenges {
            match (challenge, &credential) {
                (Challenge::Bearer { realm, service }, credential) => {
                    let token = self.token(&realm, service.as_deref(), credential.as_ref()).await?;
                    return Ok(Some(Authorization::Bearer(token.access)));
                }
                (Challenge::Basic, Some(Credential::Password { user, password })) => {
                    let (user, password) = (user.clone(), password.clone());
                    return Ok(Some(Authorization::Basic { user, password }));
                }
                (Challenge::Basic, _) => {}
            }
        }
        Ok(None)
    }

    /// A token for its scopes (distribution's token authentication specification, and its OAuth 2 form for
    /// identity tokens).
    pub(super) async fn token(
        &self,
        realm: &str,
        service: Option<&str>,
        credential: Option<&Credential>,
    ) -> Result<Tokens, RegistryError> {
        #[derive(Deserialize)]
        struct Answer {
            token: Option<String>,
            access_token: Option<String>,
            refresh_token: Option<String>,
        }
        let refused = || RegistryError::Realm { registry: self.registry.clone(), realm: realm.to_owned() };
        let mut url: Url = realm.parse().map_err(|_| refused())?;
        // A registry that is spoken to without protection has heard the password by then, or is on this machine.
        let is_near = url.host_str().is_some_and(http::is_loopback) || url.host_str() == self.base.host_str();
        let is_safe =
            url.scheme() == "https" || (url.scheme() == "http" && self.base.scheme() == "http" && is_near);
        if !is_safe {
            return Err(refused());
        }
        let mut request = Request {
            method: Method::GET,
            url: url.clone(),
            headers: HeaderMap::new(),
            authorization: None,
            form: None,
        };
        let service = service.map(|service| ("service", service));
        match credential {
            Some(Credential::Identity(token)) => {
                let mut form = Url::parse("form:").expect("a scheme alone is a URL");
                form.query_pairs_mut()
                    .extend_pairs([
                        ("grant_type", "refresh_token"),
                        ("refresh_token", token),
                        ("client_id", "mini"),
                    ])
                    .extend_pairs([("scope", self.scopes.join(" "))])
                    .extend_pairs(service);
                request.method = Method::POST;
                request.form = form.query().map(str::to_owned);
            }
            password => {
                let scopes = self.scopes.iter().map(|scope| ("scope", scope));
                url.query_pairs_mut().extend_pairs(service).extend_pairs(scopes);
                if self.scopes.is_empty() {
                    // Somebody logs in, and would rather keep a token than a password.
                    let offline = [("client_id", "mini"), ("offline_token", "true")];
                    url.query_pairs_mut().extend_pairs(offline);
                }
                request.url = url;
                if let Some(Credential::Password { user, password }) = password {
                    request.url.query_pairs_mut().append_pair("account", user);
                    let (user, password) = (user.clone(), password.clone());
                    request.authorization = Some(Authorization::Basic { user, password });
                }
            }
        }
        let response = self.http.send(request).await?;
        if !response.status().is_success() {
            return Err(self.refusal(response, &format!("a token for {}", self.repository)).await);
        }
        let answer = self.http.document(response, MESSAGE_MAX).await?;
        let answer: Option<Answer> = serde_json::from_slice(&answer).ok();
        let tokens = answer.and_then(|answer| {
            let identity = answer.refresh_token.filter(|token| !token.is_empty());
            // What cannot stand in a header is none.
            let access = answer.token.or(answer.access_token).filter(|token| is_plain(token))?;
            Some(Tokens { access, identity })
        });
        tokens.ok_or_else(|| RegistryError::Token { registry: self.registry.clone() })
    }
}

fn is_plain(token: &str) -> bool {
    token.bytes().all(|byte| byte.is_ascii_graphic())
}
