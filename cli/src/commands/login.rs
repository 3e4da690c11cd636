//! `mini login` and `mini logout`: who the user is to a registry.

use std::io::{BufRead as _, IsTerminal as _, Read as _};
use std::os::fd::AsFd as _;

use anyhow::{Context as _, Result, bail};
use image::LoginOptions;
use runtime::sys::{signal, terminal};
use rustix::event::{PollFd, PollFlags};

use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::output;
use crate::registries::{self, Credentials, Secret, host_of, key_of};

/// Let a registry know who you are
///
/// The registry is asked at once, and what it is to be shown is kept in docker's ~/.docker/config.json (DOCKER_CONFIG names another
/// directory): by the credential helper that credHelpers or credsStore name there, or in the file itself.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini login -u mini --password-stdin localhost:5000 < password.txt\n  mini login localhost:5000\n\nSee also: mini logout, mini pull, mini push"
)]
pub(crate) struct LoginArgs {
    /// The password, or a token that stands for it; others see it in the list of processes
    #[arg(short, long)]
    password: Option<String>,
    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
    /// The user's name
    #[arg(short, long)]
    username: Option<String>,
    /// The registry; Docker Hub where none is given
    server: Option<String>,
}

/// Forget who you are to a registry
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  mini logout localhost:5000\n\nSee also: mini login")]
pub(crate) struct LogoutArgs {
    /// The registry; Docker Hub where none is given
    server: Option<String>,
}

/// Asks the registry, and keeps what it is to be shown.
pub(crate) fn login(context: &Context, args: &LoginArgs) -> Result<ExitCode> {
    context.listen(None)?;
    let host = host_of(args.server.as_deref().unwrap_or_default());
    let key = key_of(host);
    let credentials = Credentials::load()?;
    let (user, password) = match asked(args)? {
        Asked::All(user, password) => (user, password),
        Asked::Nothing => match credentials.known(key)? {
            Some(Secret::Password { user, password }) => {
                output::print_line("Authenticating with existing credentials...")?;
                match verify(context, host, &user, &password) {
                    Ok(_) => return succeeded(),
                    Err(error) => output::say(&format!("Login did not succeed, error: {error:#}")),
                }
                typed(Some(&user), host)?
            }
            Some(Secret::Identity { user, .. }) => typed(Some(&user).filter(|user| !user.is_empty()), host)?,
            None => typed(None, host)?,
        },
        Asked::User(user) => (user.clone(), secretly("Password: ")?),
        Asked::Password(password) => (openly("Username: ", None)?, password),
    };
    let identity = verify(context, host, &user, &password)?;
    let secret = match identity {
        Some(token) => Secret::Identity { user, token },
        None => Secret::Password { user, password },
    };
    if !credentials.keep(key, &secret)? {
        output::say(&format!(
            "\nWARNING! Your credentials are stored unencrypted in '{}'.\nConfigure a credential helper to remove this warning. See\n\
             https://docs.docker.com/go/credential-store/\n",
            credentials.path().display()
        ));
    }
    succeeded()
}

/// Forgets what was kept.
pub(crate) fn logout(args: &LogoutArgs) -> Result<ExitCode> {
    let host = host_of(args.server.as_deref().unwrap_or_default());
    let key = key_of(host);
    if Credentials::load()?.forget(host)? {
        output::print_line(&format!("Removing login credentials for {key}"))?;
    } else {
        output::print_line(&format!("Not logged in to {key}"))?;
    }
    Ok(ExitCode::Success)
}

fn succeeded() -> Result<ExitCode> {
    output::print_line("Login Succeeded")?;
    Ok(ExitCode::Success)
}

/// What the command line says of the user.
enum Asked {
    Nothing,
    User(String),
    Password(String),
    All(String, String),
}

fn asked(args: &LoginArgs) -> Result<Asked> {
    let user = args.username.clone().filter(|user| !user.is_empty());
    let password = match (&args.password, args.password_stdin) {
        (Some(_), true) => bail!("--password and --password-stdin are mutually exclusive"),
        (Some(password), false) => {
            output::say("WARNING! Using --password via the CLI is insecure. Use --password-stdin.");
            Some(password.clone()).filter(|password| !password.is_empty())
        }
        (None, true) => {
            if user.is_none() {
                bail!("Must provide --username with --password-stdin");
            }
            Some(from_stdin()?)
        }
        (None, false) => None,
    };
    Ok(match (user, password) {
        (Some(user), Some(password)) => Asked::All(user, password),
        (Some(user), None) => Asked::User(user),
        (None, Some(password)) => Asked::Password(password),
        (None, None) => Asked::Nothing,
    })
}

/// All of standard input, without the end of its line.
fn from_stdin() -> Result<String> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("cannot read the password")?;
    let password = text.strip_suffix('\n').unwrap_or(&text);
    let password = password.strip_suffix('\r').unwrap_or(password);
    if password.is_empty() {
        bail!("password is empty");
    }
    Ok(password.to_owned())
}

/// What the registry gives instead of the password, if it does.
fn verify(context: &Context, host: &str, user: &str, password: &str) -> Result<Option<String>> {
    let options = LoginOptions {
        user: user.to_owned(),
        password: password.to_owned(),
        offline: registries::offline(),
        timeouts: image::Timeouts::default(),
        hosts: registries::hosts(&context.config, host)?,
    };
    image::log_in(host, &options).with_context(|| format!("cannot log in to {}", key_of(host)))
}

/// Name and password, typed on a terminal.
fn typed(known: Option<&String>, host: &str) -> Result<(String, String)> {
    if !std::io::stdin().is_terminal() {
        bail!("Cannot perform an interactive login from a non TTY device");
    }
    if host == image::reference::DEFAULT_REGISTRY {
        output::say(
            "Log in with your Docker ID or email address to push and pull images from Docker Hub. If you don't have a Docker ID, head \
             over to https://hub.docker.com/ to create one.",
        );
    }
    let prompt = known.map_or_else(|| "Username: ".to_owned(), |user| format!("Username ({user}): "));
    let user = openly(&prompt, known)?;
    Ok((user, secretly("Password: ")?))
}

/// A line, seen while it is typed.
fn openly(prompt: &str, default: Option<&String>) -> Result<String> {
    output::ask(prompt);
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("cannot read the name")?;
    match (line.trim(), default) {
        ("", Some(default)) => Ok(default.clone()),
        ("", None) => bail!("username is empty"),
        (user, _) => Ok(user.to_owned()),
    }
}

/// A line that nobody sees. The terminal is as before on every way out, ctrl-C and signals among them.
fn secretly(prompt: &str) -> Result<String> {
    if !std::io::stdin().is_terminal() {
        bail!("Cannot perform an interactive login from a non TTY device");
    }
    let stdin = rustix::stdio::stdin();
    let signals = signal::as_descriptor(&[libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT])?;
    let raw = terminal::Raw::enter(stdin)?;
    output::ask(prompt);
    let mut line = Vec::new();
    let ended = loop {
        let mut waits =
            [PollFd::new(&signals, PollFlags::IN), PollFd::from_borrowed_fd(stdin, PollFlags::IN)];
        // Interrupted, it asks again.
        let _early = rustix::event::poll(&mut waits, None);
        if let Some(number) = signal::next(signals.as_fd()) {
            break Some(number);
        }
        if waits[1].revents().is_empty() {
            continue;
        }
        let mut key = [0];
        match rustix::io::read(stdin, &mut key)? {
            0 => break None,
            _ => match edit(&mut line, key[0]) {
                Key::Typed => {}
                Key::Done => break None,
                Key::Interrupted => break Some(libc::SIGINT),
            },
        }
    };
    drop(raw);
    output::say("");
    if let Some(number) = ended {
        signal::die_of(number);
    }
    let password = String::from_utf8(line).context("the password is no text")?;
    if password.is_empty() {
        bail!("password is empty");
    }
    Ok(password)
}

/// What a key means.
#[derive(Debug, PartialEq, Eq)]
enum Key {
    Typed,
    Done,
    Interrupted,
}

/// A key of a line that is typed on a terminal in raw mode, as the kernel would take it (termios(3)). PURE.
fn edit(line: &mut Vec<u8>, key: u8) -> Key {
    match key {
        b'\r' | b'\n' | 4 => return Key::Done,
        3 => return Key::Interrupted,
        8 | 127 => {
            // A whole letter of UTF-8.
            while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
        }
        21 => line.clear(),
        key => line.push(key),
    }
    Key::Typed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_edited_as_anywhere_else() {
        for (keys, expected, end) in [
            ("secret\r", "secret", Key::Done),
            ("wrong\x15seß\x7fcret\n", "secret", Key::Done),
            ("ab\x08\x7f\x7fc\x04", "c", Key::Done),
            ("ab\x03", "ab", Key::Interrupted),
        ] {
            let mut line = Vec::new();
            let last = keys.bytes().map(|key| edit(&mut line, key)).last();
            assert_eq!((line.as_slice(), last), (expected.as_bytes(), Some(end)), "{keys:?}");
        }
    }
}
