//! Debian's `docker-registry`, on loopback inside the test's host: the other side as the world runs it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use rustix::process::Signal;

use crate::http::Request;
use crate::image::{Blob, Image};
use crate::{Host, processes, wait};

/// `mini:secret` in the form that htpasswd -B writes (bcrypt, cost 4).
const HTPASSWD: &str = "mini:$2b$04$RdEQUAoLLjYRa8KenO5RVunoj2kgM29INLaULiTd3H.Q1aNzy5oDu\n";
/// `mini:secret` in base 64.
pub const CREDENTIALS: &str = "bWluaTpzZWNyZXQ=";

/// A running `docker-registry`.
#[derive(Debug)]
pub struct Registry {
    child: Child,
    address: SocketAddr,
    authorization: Option<String>,
}

impl Registry {
    /// One that is open to everybody.
    #[track_caller]
    pub fn start(host: &Host) -> Self {
        Self::launch(host, 0, None, "")
    }

    /// One that speaks TLS, with the certificates in [`certificates`]; where `client` is set, to nobody without one of those.
    #[track_caller]
    pub fn with_tls(host: &Host, client: bool) -> Self {
        let directory = certificates(host);
        let show = |name: &str| directory.join(name).display().to_string();
        let clients = if client { format!(", clientcas: ['{}']", show("ca.pem")) } else { String::new() };
        let tls =
            format!("tls: {{certificate: '{}', key: '{}'{clients}}}", show("server.pem"), show("server.key"));
        Self::launch(host, 0, None, &format!(", {tls}"))
    }

    /// One that is open to everybody, at a port of one's choice.
    #[track_caller]
    pub fn at(host: &Host, port: u16) -> Self {
        Self::launch(host, port, None, "")
    }

    /// One that wants `mini` and `secret` as basic authorisation.
    #[track_caller]
    pub fn with_password(host: &Host) -> Self {
        Self::launch(host, 0, Some(format!("Basic {CREDENTIALS}")), "")
    }

    #[track_caller]
    fn launch(host: &Host, port: u16, authorization: Option<String>, tls: &str) -> Self {
        let state = host.work().join("registry");
        fs::create_dir_all(&state).expect("make the registry's directory");
        let show = |name: &str| state.join(name).to_string_lossy().into_owned();
        let mut config = format!(
            "version: 0.1\nlog: {{level: info}}\nhttp: {{addr: '127.0.0.1:{port}'{tls}}}\n\
             storage: {{filesystem: {{rootdirectory: '{}'}}}}\n",
            show("data")
        );
        if authorization.is_some() {
            fs::write(state.join("htpasswd"), HTPASSWD).expect("write the password file");
            config.push_str(&format!("auth: {{htpasswd: {{realm: test, path: '{}'}}}}\n", show("htpasswd")));
        }
        fs::write(state.join("config.yml"), config).expect("write the registry's configuration");
        let mut command = Command::new("docker-registry");
        command
            .args(["serve", &show("config.yml")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("start docker-registry (apt-get install docker-registry)");
        let log = child.stderr.take().expect("stderr is a pipe");
        let (said, hears) = mpsc::channel();
        std::thread::spawn(move || listen(BufReader::new(log), &said));
        let address = hears.recv_timeout(wait::PATIENCE).unwrap_or_else(|_: mpsc::RecvTimeoutError| {
            panic!("docker-registry never said where it listens")
        });
        Self { child, address, authorization }
    }

    /// `127.0.0.1:PORT`.
    pub fn name(&self) -> String {
        self.address.to_string()
    }

    /// Puts an image there, and gives back its full name and its manifest.
    #[track_caller]
    pub fn push(&self, repository: &str, tag: &str, image: &Image) -> (String, Blob) {
        let (blobs, manifest) = image.blobs();
        for blob in &blobs {
            self.push_blob(repository, blob);
        }
        self.push_manifest(repository, tag, &manifest);
        (format!("{}/{repository}:{tag}", self.address), manifest)
    }

    /// Puts one blob there (distribution-spec: a POST that opens an upload, a PUT that ends it).
    #[track_caller]
    pub fn push_blob(&self, repository: &str, blob: &Blob) {
        let opened =
            self.request("POST", &format!("/v2/{repository}/blobs/uploads/")).send(self.address).expect(202);
        let location = opened.field("location").replace(&format!("http://{}", self.address), "");
        let joint = if location.contains('?') { '&' } else { '?' };
        let put = self.request("PUT", &format!("{location}{joint}digest={}", blob.digest()));
        put.with("content-type", "application/octet-stream")
            .carrying(&blob.bytes)
            .send(self.address)
            .expect(201);
    }

    /// Puts a manifest or an index there.
    #[track_caller]
    pub fn push_manifest(&self, repository: &str, tag: &str, manifest: &Blob) {
        let put = self.request("PUT", &format!("/v2/{repository}/manifests/{tag}"));
        put.with("content-type", &manifest.media_type)
            .carrying(&manifest.bytes)
            .send(self.address)
            .expect(201);
    }

    /// The manifest that it has in a repository under a tag.
    #[track_caller]
    pub fn manifest(&self, (repository, tag): (&str, &str)) -> Vec<u8> {
        let get = self.request("GET", &format!("/v2/{repository}/manifests/{tag}"));
        let types = [
            "application/vnd.oci.image.manifest.v1+json",
            "application/vnd.docker.distribution.manifest.v2+json",
        ];
        get.with("accept", &types.join(", ")).send(self.address).expect(200).body
    }

    fn request(&self, method: &str, target: &str) -> Request {
        let request = Request::new(method, target);
        match &self.authorization {
            Some(authorization) => request.with("authorization", authorization),
            None => request,
        }
    }
}

/// A directory with `ca.pem`, and certificates of its own with their keys: `server` for 127.0.0.1, and `client`.
#[track_caller]
pub fn certificates(host: &Host) -> std::path::PathBuf {
    let directory = host.work().join("certificates");
    if directory.exists() {
        return directory;
    }
    fs::create_dir(&directory).expect("make a directory");
    let path = |name: &str| directory.join(name).display().to_string();
    let make = |name: &str, more: &[&str]| {
        let (pem, key) = (path(&format!("{name}.pem")), path(&format!("{name}.key")));
        let subject = format!("/CN={name}");
        let common = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let own = ["-subj", &subject, "-days", "2", "-out", &pem, "-keyout", &key];
        host.tool("openssl", common.iter().chain(&own).chain(more));
    };
    make("ca", &["-addext", "keyUsage=keyCertSign"]);
    let (ca, key) = (path("ca.pem"), path("ca.key"));
    let signed = ["-CA", &ca, "-CAkey", &key, "-addext", "basicConstraints=critical,CA:FALSE"];
    make("server", &[&signed[..], &["-addext", "subjectAltName=IP:127.0.0.1"]].concat());
    make("client", &[&signed[..], &["-addext", "extendedKeyUsage=clientAuth"]].concat());
    directory
}

impl Drop for Registry {
    fn drop(&mut self) {
        if let Some(pidfd) = processes::open(self.child.id().cast_signed()) {
            processes::signal(&pidfd, Signal::KILL);
        }
        // It is dying: the wait only reaps it.
        let _ = self.child.wait();
    }
}

/// Reads the log to its end, and passes on the address it names.
fn listen(mut log: impl BufRead, said: &mpsc::Sender<SocketAddr>) {
    let mut line = String::new();
    while log.read_line(&mut line).is_ok_and(|length| length > 0) {
        let address = line.split("listening on ").nth(1).and_then(|rest| rest.split(['"', ',', ' ']).next());
        if let Some(address) = address.and_then(|text| text.trim().parse().ok()) {
            // Nobody waits for a second one.
            let _ = said.send(address);
        }
        line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tarball;

    #[test]
    fn keeps_what_is_pushed_and_asks_for_the_password() {
        let host = Host::with_binary("/bin/true");
        let registry = Registry::with_password(&host);
        let (name, manifest) = registry.push("a/b", "1", &Image::of([Tarball::new().file("x", 0o644, "x")]));
        assert_eq!(name, format!("{}/a/b:1", registry.name()));
        let get = Request::new("GET", "/v2/a/b/manifests/1").with("accept", &manifest.media_type);
        get.clone().send(registry.address).expect(401);
        let answer =
            get.with("authorization", &format!("Basic {CREDENTIALS}")).send(registry.address).expect(200);
        assert_eq!(answer.body, manifest.bytes);
    }
}
