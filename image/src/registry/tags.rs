//! Which tags a repository has (OCI distribution spec, "Listing Tags"), page by page.

use reqwest::header::{HeaderMap, LINK};
use reqwest::{Method, Url};
use serde::Deserialize;

use super::{Registry, RegistryError};
use crate::registry::http::{HttpError, Request};

/// Bytes of one page.
const PAGE_MAX: u64 = 4 << 20;
/// More tags than this, or more pages, are refused: a registry may answer without end.
const TAGS_MAX: usize = 100_000;
const PAGES_MAX: usize = 1000;
/// Bytes of a tag (OCI distribution spec, "Pulling manifests").
const TAG_LENGTH_MAX: usize = 128;

impl Registry {
    /// All tags of the repository, as the registry lists them.
    pub(crate) async fn tags(&self) -> Result<Vec<String>, RegistryError> {
        #[derive(Deserialize)]
        struct Page {
            /// `null` where there is none.
            tags: Option<Vec<String>>,
        }
        let what = format!("tags of {}", self.repository);
        let first = self.base.join("tags/list").map_err(|_| HttpError::Url("tags/list".to_owned()))?;
        let (mut next, mut tags, mut pages) = (Some(first), Vec::new(), 0);
        while let Some(url) = next {
            let request = Request {
                method: Method::GET,
                url,
                headers: HeaderMap::new(),
                authorization: None,
                form: None,
            };
            let url = request.url.clone();
            let response = self.ask(request, async |request| self.http.send(request).await).await?;
            if !response.status().is_success() {
                return Err(self.refusal(response, &what).await);
            }
            let links = response.headers().get_all(LINK).iter().filter_map(|link| link.to_str().ok());
            // What is elsewhere belongs to somebody else.
            next = links
                .filter_map(next_page)
                .find_map(|to| url.join(to).ok())
                .filter(|to| to.origin() == url.origin());
            let page = self.http.document(response, PAGE_MAX).await?;
            let page: Page = serde_json::from_slice(&page)
                .map_err(|_| RegistryError::NoList { registry: self.registry.clone(), what: what.clone() })?;
            let page = page.tags.unwrap_or_default();
            if page.is_empty() || is_same(next.as_ref(), &url) {
                next = None;
            }
            // What is longer is no tag, and would only fill the memory.
            tags.extend(page.into_iter().filter(|tag| tag.len() <= TAG_LENGTH_MAX));
            pages += 1;
            if tags.len() > TAGS_MAX || (pages == PAGES_MAX && next.is_some()) {
                return Err(RegistryError::Endless { registry: self.registry.clone(), what });
            }
        }
        Ok(tags)
    }
}

fn is_same(next: Option<&Url>, url: &Url) -> bool {
    next == Some(url)
}

/// What `<…>; rel="next"` leads to (RFC 8288). PURE.
fn next_page(link: &str) -> Option<&str> {
    link.split(',').find_map(|link| {
        let (to, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = |parameter: &str| matches!(parameter.trim(), "rel=next" | "rel=\"next\"");
        parameters.split(';').any(is_next).then_some(to)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found() {
        for (link, expected) in [
            ("</v2/a/tags/list?last=b&n=100>; rel=\"next\"", Some("/v2/a/tags/list?last=b&n=100")),
            ("</x>; rel=prev, </y>;title=z;rel=next", Some("/y")),
            ("</x>; rel=\"prev\"", None),
            ("nonsense", None),
        ] {
            assert_eq!(next_page(link), expected, "{link}");
        }
    }
}
