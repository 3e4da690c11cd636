//! What a registry asks for when it answers 401: the `WWW-Authenticate` header (RFC 9110, 11.6.1; OCI
//! distribution spec). PURE.

/// A way to authenticate that a registry offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// Fetch a token from `realm` first.
    Bearer { realm: String, service: Option<String> },
    /// Name and password with each request.
    Basic,
}

impl Challenge {
    /// The ways that `headers` offer, tokens first: a password should travel as seldom as possible.
    pub(crate) fn parse<'a>(headers: impl Iterator<Item = &'a str>) -> Vec<Self> {
        let mut challenges = Vec::new();
        for header in headers {
            for (scheme, parameters) in split(header) {
                let get = |name: &str| {
                    parameters
                        .iter()
                        .find(|(key, _)| key.eq_ignore_ascii_case(name))
                        .map(|(_, value)| value.clone())
                };
                if scheme.eq_ignore_ascii_case("basic") {
                    challenges.push(Self::Basic);
                } else if scheme.eq_ignore_ascii_case("bearer")
                    && let Some(realm) = get("realm")
                {
                    challenges.push(Self::Bearer { realm, service: get("service") });
                }
            }
        }
        challenges.sort_by_key(|challenge| *challenge == Self::Basic);
        challenges
    }
}

type Parameters = Vec<(String, String)>;

/// Schemes with their parameters: `Bearer realm="…",service="…", Basic realm="…"`.
fn split(header: &str) -> Vec<(String, Parameters)> {
    let mut challenges: Vec<(String, Parameters)> = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([',', ' ', '\t']);
        if rest.is_empty() {
            return challenges;
        }
        let word_end = rest.find([' ', '\t', '=', ',']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(word_end);
        match after.trim_start().strip_prefix('=') {
            Some(value) => {
                let (value, after) = value_of(value.trim_start());
                if let Some((_, parameters)) = challenges.last_mut() {
                    parameters.push((word.to_owned(), value));
                }
                rest = after;
            }
            None => {
                challenges.push((word.to_owned(), Vec::new()));
                rest = after;
            }
        }
    }
}

/// A token or a quoted string, and what follows it.
fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_real_registries_are_understood() {
        let bearer = |realm: &str, service: Option<&str>| Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
        };
        for (headers, expected) in [
            (
                vec![
                    r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#,
                ],
                vec![bearer("https://auth.docker.io/token", Some("registry.docker.io"))],
            ),
            (vec![r#"Basic realm="Registry Realm""#], vec![Challenge::Basic]),
            (vec!["basic"], vec![Challenge::Basic]),
            (
                vec![r#"Basic realm="x", Bearer realm="https://h/t""#],
                vec![bearer("https://h/t", None), Challenge::Basic],
            ),
            (
                vec![r#"Basic realm="x""#, r#"BEARER Realm="https://h/t" , Service=s"#],
                vec![bearer("https://h/t", Some("s")), Challenge::Basic],
            ),
            (vec![r#"Bearer realm="a \"quoted\", comma""#], vec![bearer(r#"a "quoted", comma"#, None)]),
            (vec![r#"Bearer service="no realm""#], vec![]),
            (vec![r#"Digest realm="x", nonce=abc"#], vec![]),
            (vec![r#"Bearer realm="unterminated"#], vec![bearer("unterminated", None)]),
            (vec!["", ", ,", "=x"], vec![]),
        ] {
            assert_eq!(Challenge::parse(headers.iter().copied()), expected, "{headers:?}");
        }
    }
}
