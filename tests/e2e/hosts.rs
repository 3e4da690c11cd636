//! How registries are reached: certificates, plain http where it is said, mirrors, proxies, and what is wrong with all that.

use std::fs;

use serde_json::json;
use tests::http::Request;
use tests::registry::{Registry, certificates};
use tests::server::{Access, Contents, ImageServer, Reply};
use tests::{Host, Image, Tarball};

fn saying(word: &str) -> Image {
    Image::busybox().with(Tarball::new().file("word", 0o644, word)).set("Cmd", json!(["cat", "/word"]))
}

/// `[registry."HOST"]` with these lines.
fn about(registry: &str, lines: &str) -> String {
    format!("[registry.\"{registry}\"]\n{lines}\n")
}

/// Pushes to a registry and pulls from it.
fn exchange(host: &Host, registry: &Registry) {
    let name = format!("{}/a:1", registry.name());
    host.mini(["load", "-q"]).stdin(saying("by tls").oci_layout(&name)).run().ok();
    host.mini(["push", &name]).run().ok();
    host.mini(["rmi", &name]).run().ok();
    host.mini(["run", "--rm", &name]).run().ok().stdout("by tls");
}

#[test]
fn a_registry_with_certificates_of_its_own() {
    let host = Host::with_busybox();
    let registry = Registry::with_tls(&host, false);
    let (name, server) = (format!("{}/a:1", registry.name()), registry.name());
    host.mini(["pull", &name]).run().error(1, &[&name]);
    // Nobody on this machine vouches for it.
    host.configure(&about(&server, "insecure = false"));
    host.mini(["pull", &name]).run().error(1, &[&name, "https://"]);
    host.configure(&about(&server, "insecure = true"));
    exchange(&host, &registry);
    let ca = certificates(&host).join("ca.pem");
    host.configure(&about(&server, &format!("ca = {ca:?}")));
    exchange(&host, &registry);
    host.mini(["login", "-u", "x", "--password-stdin", &server]).stdin("y").run().ok();
    // docker's place for it, and podman's.
    for directory in ["/etc/docker/certs.d", "/etc/containers/certs.d"] {
        host.configure("");
        host.mini(["pull", &name]).run().error(1, &[&name]);
        let own = format!("{directory}/{server}");
        fs::create_dir_all(&own).expect("mkdir");
        fs::copy(&ca, format!("{own}/ca.crt")).expect("copy");
        exchange(&host, &registry);
        fs::remove_dir_all(directory).expect("remove");
    }
}

#[test]
fn a_registry_that_wants_to_see_a_certificate() {
    let host = Host::with_busybox();
    let registry = Registry::with_tls(&host, true);
    let (name, server) = (format!("{}/a:1", registry.name()), registry.name());
    let directory = certificates(&host);
    let (ca, cert, key) =
        (directory.join("ca.pem"), directory.join("client.pem"), directory.join("client.key"));
    host.configure(&about(&server, &format!("ca = {ca:?}")));
    host.mini(["pull", &name]).run().error(1, &[&name]);
    host.configure(&about(&server, &format!("ca = {ca:?}\ncert = {cert:?}\nkey = {key:?}")));
    exchange(&host, &registry);
    host.configure("");
    let own = format!("/etc/docker/certs.d/{server}");
    fs::create_dir_all(&own).expect("mkdir");
    for (from, to) in [(&ca, "ca.crt"), (&cert, "client.cert"), (&key, "client.key")] {
        fs::copy(from, format!("{own}/{to}")).expect("copy");
    }
    exchange(&host, &registry);
    fs::remove_file(format!("{own}/client.key")).expect("remove");
    host.mini(["pull", &name]).run().error(1, &["client.key"]);
    fs::remove_dir_all("/etc/docker").expect("remove");
    host.configure(&about(&server, "ca = \"/no/such/ca.pem\""));
    host.mini(["pull", &name]).run().error(1, &["/no/such/ca.pem"]);
    host.configure(&about(&server, &format!("cert = {key:?}\nkey = {key:?}")));
    host.mini(["pull", &name]).run().error(1, &["the certificate that it is shown"]);
}

#[test]
fn plain_http_is_spoken_where_that_is_said_and_nothing_else_is() {
    let host = Host::with_busybox();
    let registry = Registry::start(&host);
    host.configure(&about(&registry.name(), "insecure = true"));
    exchange(&host, &registry);
    host.configure(&about(&registry.name(), "insecure = false"));
    let name = format!("{}/a:1", registry.name());
    host.mini(["pull", &name]).run().error(1, &[&name]);
}

#[test]
fn mirrors_are_asked_first_and_believed_no_more_than_others() {
    let host = Host::new();
    let (mut good, mut old) = (Contents::default(), Contents::default());
    let manifest = good.add("library/busybox", "latest", &saying("mirrored"));
    old.add("library/other", "latest", &saying("other"));
    let empty = ImageServer::open(old);
    let liar = ImageServer::twisted(good.clone(), Access::Open, |_, reply| match reply.status {
        200 => Reply::new(200, "{}"),
        _ => reply,
    });
    let mirror = ImageServer::open(good);
    let all = [&empty, &liar, &mirror].map(|server| format!("\"http://{}\"", server.name())).join(", ");
    host.configure(&about("docker.io", &format!("mirrors = [{all}]")));
    let pulled = host.mini(["run", "--rm", "busybox"]).run().ok().stdout("mirrored");
    pulled.stderr_has(&format!("http://{}: ", empty.name())).stderr_has(&format!("http://{}: ", liar.name()));
    host.mini(["images", "--digests", "--format", "{{.Repository}} {{.Digest}}"])
        .run()
        .ok()
        .stdout(&format!("busybox {}\n", manifest.digest()));
    assert!(mirror.fetched("/manifests/latest") > 0);
    // Who has it not at all is no help: then it is the registry's turn, which is elsewhere.
    host.mini(["pull", "nowhere"]).run().error(1, &["nowhere", "MINI_OFFLINE"]);
    // By digest nobody can lie.
    let name = format!("busybox@{}", manifest.digest());
    host.mini(["pull", &name]).run().ok().stderr_has("digest");
}

#[test]
fn mirrors_are_asked_first_for_the_tags_too() {
    let host = Host::new();
    let mut contents = Contents::default();
    for tag in ["a", "b"] {
        contents.add("library/busybox", tag, &saying(tag));
    }
    let listing = |tags: &'static str| {
        ImageServer::twisted(contents.clone(), Access::Open, move |request, reply| {
            match request.target.ends_with("/library/busybox/tags/list") {
                true => Reply::new(200, format!("{{\"name\":\"library/busybox\",\"tags\":{tags}}}")),
                false => reply,
            }
        })
    };
    // One that has no such repository, one without a tag in it, and one that knows them.
    let (empty, bare) = (ImageServer::open(Contents::default()), listing("null"));
    let (mirror, last) = (listing("[\"a\",\"b\"]"), listing("[\"a\"]"));
    let all =
        [&empty, &bare, &mirror, &last].map(|server| format!("\"http://{}\"", server.name())).join(", ");
    host.configure(&about("docker.io", &format!("mirrors = [{all}]")));
    let pulled = host.mini(["pull", "-a", "busybox"]).run().ok();
    pulled.stderr_has(&format!("http://{}: ", empty.name())).stderr_has("busybox has no tags");
    host.mini(["images", "--format", "{{.Repository}}:{{.Tag}}"]).run().ok().stdout("busybox:a\nbusybox:b\n");
    assert_eq!((mirror.fetched("/tags/list"), last.requests().len()), (1, 0));
    // Where none has any it is the registry's turn.
    host.mini(["pull", "-a", "nowhere"]).run().error(1, &["nowhere", "MINI_OFFLINE"]);
}

#[test]
fn proxies_are_those_of_the_configuration() {
    let host = Host::new();
    let mut contents = Contents::default();
    contents.add("a", "1", &saying("by proxy"));
    let registry = ImageServer::open(contents);
    let address = registry.name().parse().expect("an address");
    let proxy = ImageServer::twisted(Contents::default(), Access::Open, move |request, _| {
        // RFC 9112, 3.2.2: a proxy is asked for whole addresses.
        let Some(path) = request.target.strip_prefix("http://registry.example:5000") else {
            return Reply::new(502, "");
        };
        let mut onward = Request::new(&request.method, path);
        if let Some(accept) = request.field("accept") {
            onward = onward.with("accept", accept);
        }
        let answer = onward.send(address);
        let reply = Reply::new(answer.status, answer.body.clone());
        let field = |name: &str| answer.fields.iter().find(|(known, _)| known == name);
        match field("content-type") {
            Some((name, value)) => reply.with(name, value),
            None => reply,
        }
    });
    let proxies = |no: &str| format!("[proxy]\nhttp = \"http://{}\"\nno = \"{no}\"\n", proxy.name());
    let insecure = about("registry.example:5000", "insecure = true");
    host.configure(&format!("{insecure}{}", proxies("")));
    let pull = || host.mini(["pull", "registry.example:5000/a:1"]).env_remove("MINI_OFFLINE");
    pull().run().ok();
    let asked = proxy.requests().len();
    assert!(asked > 2, "{asked}");
    host.configure(&format!("{insecure}{}", proxies("registry.example")));
    pull().run().error(1, &["registry.example"]);
    assert_eq!(proxy.requests().len(), asked);
    // Not for this machine, whatever the environment says.
    let local = format!("{}/a:1", registry.name());
    host.configure("");
    host.mini(["pull", &local])
        .env("HTTP_PROXY", "http://127.0.0.1:1")
        .env("http_proxy", "http://127.0.0.1:1")
        .run()
        .ok();
}

#[test]
fn a_mistake_in_the_configuration_is_told_with_file_line_and_key() {
    let host = Host::new();
    for (more, expected) in [
        (about("localhost:5000", "mirrors = [\"m\"]"), "registry.\"localhost:5000\".mirrors"),
        (about("localhost:5000", "insecur = true"), "insecur"),
        (about("no host", ""), "registry.\"no host\""),
        (about("localhost:5000", "cert = \"/x\""), "registry.\"localhost:5000\".cert"),
        ("[proxy]\nhttp = \"x\"".to_owned(), "proxy.http"),
    ] {
        host.configure(&more);
        let output = host.mini(["images"]).run().error(1, &["/etc/mini/config.toml", "line ", expected]);
        assert!(!output.err().contains("line 1,"), "{output}");
    }
    host.configure("");
}
