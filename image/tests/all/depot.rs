//! A registry in memory that takes what it is given, and can be made to refuse it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use image::Digest;

use crate::server::{Reply, Request, Server};

/// A registry that takes what it is given.
#[derive(Default)]
pub(crate) struct Depot {
    /// By `repository/digest`.
    pub(crate) blobs: HashMap<String, Vec<u8>>,
    pub(crate) manifests: HashMap<String, Vec<u8>>,
    uploads: Vec<Vec<u8>>,
}

pub(crate) fn status(status: u16, headers: &[(&str, &str)]) -> Reply {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Reply::Answer(status, headers.collect(), Vec::new())
}

fn query<'a>(path: &'a str, name: &str) -> Option<&'a str> {
    path.split(['?', '&']).find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
}

impl Depot {
    /// What an honest registry does (OCI distribution spec, "Push").
    pub(crate) fn answer(&mut self, request: &Request) -> Reply {
        let path = request.path.split('?').next().unwrap();
        let path = path.strip_prefix("/v2/").unwrap();
        if let Some((repository, tag)) = path.split_once("/manifests/") {
            self.manifests.insert(format!("{repository}:{tag}"), request.bytes.clone());
            return status(201, &[("Docker-Content-Digest", &Digest::of(&request.bytes).to_string())]);
        }
        let (repository, rest) = path.split_once("/blobs/").unwrap();
        match (request.method.as_str(), rest.strip_prefix("uploads/")) {
            ("HEAD", None) => match self.blobs.get(&format!("{repository}/{rest}")) {
                Some(_) => status(200, &[]),
                None => status(404, &[]),
            },
            ("POST", Some("")) => {
                let mount = query(&request.path, "mount").zip(query(&request.path, "from"));
                if let Some((digest, from)) = mount {
                    let digest = digest.replace("%3A", ":");
                    let from = from.replace("%2F", "/");
                    if let Some(blob) = self.blobs.get(&format!("{from}/{digest}")).cloned() {
                        self.blobs.insert(format!("{repository}/{digest}"), blob);
                        return status(201, &[]);
                    }
                }
                self.uploads.push(Vec::new());
                let place = format!("/v2/{repository}/blobs/uploads/{}?state=x", self.uploads.len() - 1);
                status(202, &[("Location", &place)])
            }
            (method, Some(number)) => self.upload(request, method, repository, number),
            other => panic!("{other:?}"),
        }
    }

    fn upload(&mut self, request: &Request, method: &str, repository: &str, number: &str) -> Reply {
        assert_eq!(query(&request.path, "state"), Some("x"), "the place is used as it was given");
        let upload = &mut self.uploads[number.parse::<usize>().unwrap()];
        let place = request.path.clone();
        let reply = |code, length: usize| {
            status(code, &[("Location", &place), ("Range", &format!("0-{}", length.saturating_sub(1)))])
        };
        if let Some((begin, last)) =
            request.headers.get("content-range").and_then(|range| range.split_once('-'))
        {
            let (begin, last): (usize, usize) = (begin.parse().unwrap(), last.parse().unwrap());
            // No range ends before it begins.
            if last < begin {
                return status(400, &[]);
            }
            if begin != upload.len() {
                return status(416, &[]);
            }
        }
        match method {
            "GET" => reply(204, upload.len()),
            "DELETE" => status(204, &[]),
            "PATCH" => {
                upload.extend(&request.bytes);
                reply(202, upload.len())
            }
            "PUT" => {
                upload.extend(&request.bytes);
                let digest = query(&request.path, "digest").unwrap().replace("%3A", ":");
                if Digest::of(upload).to_string() != digest {
                    return status(400, &[]);
                }
                self.blobs.insert(format!("{repository}/{digest}"), std::mem::take(upload));
                status(201, &[])
            }
            other => panic!("{other}"),
        }
    }
}

pub(crate) type Shared = Arc<Mutex<Depot>>;

/// A depot whose answers pass through `change`, which may also keep a request from it.
pub(crate) fn serve(
    change: impl Fn(&mut Depot, &Request) -> Option<Reply> + Send + Sync + 'static,
) -> (Server, Shared) {
    let depot = Shared::default();
    let kept = Arc::clone(&depot);
    let server = Server::start(move |request| {
        let mut depot = kept.lock().unwrap();
        change(&mut depot, request).unwrap_or_else(|| depot.answer(request))
    });
    (server, depot)
}
