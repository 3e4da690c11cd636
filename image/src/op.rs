//! One kernel operation: the call, how a shell would say it, how long it took, how it failed.
//!
//! Every operation passes through [`Op::perform`]. It asks the narrator before, tells it after, and on
//! failure returns an error that holds the same text. The narrator is whoever listens to three `tracing`
//! targets:
//!
//! | target | fields | when |
//! |---|---|---|
//! | `mini::step` | `why` | a sentence: why the operations that follow happen |
//! | `mini::before` | `call`, `shell` | just before an operation; a listener may hold it up |
//! | `mini::op` | `call`, `shell`, `micros`, `errno` | just after it; `errno` is 0 on success |
//!
//! Each library has this file: they share the events, not the code.

use std::fmt;
use std::io;
use std::time::Instant;

/// Says why the operations that follow happen.
pub fn step(why: &str) {
    tracing::info!(target: "mini::step", why);
}

/// A kernel operation, described: nothing is formatted unless somebody listens or it fails.
#[derive(Clone, Copy)]
pub struct Op<'a> {
    /// The call with its real arguments, as its man page writes it.
    pub call: fmt::Arguments<'a>,
    /// What does the same in a shell; a comment (`# …`) where no tool does.
    pub shell: fmt::Arguments<'a>,
}

/// Carries out an operation that only looks: there is nothing to tell, but its error is like any other's.
///
/// # Errors
/// What `act` returned, with the call's text.
pub fn look<T, E: Into<io::Error>>(
    call: fmt::Arguments<'_>,
    act: impl FnOnce() -> Result<T, E>,
) -> Result<T, OpError> {
    act().map_err(|error| OpError { call: call.to_string(), source: error.into() })
}

/// An operation that failed: what was tried; its source says why not.
#[derive(Debug, thiserror::Error)]
#[error("{call}")]
pub struct OpError {
    /// The call with its real arguments.
    pub call: String,
    /// What the kernel answered.
    #[source]
    pub source: io::Error,
}

impl OpError {
    /// The kernel's error number, or 0 where the error did not come from the kernel.
    pub fn errno(&self) -> i32 {
        self.source.raw_os_error().unwrap_or(0)
    }

    /// A thread that could not be started.
    pub(crate) fn thread(source: io::Error) -> Self {
        Self { call: "clone(CLONE_THREAD)".to_owned(), source }
    }
}

impl Op<'_> {
    /// Carries the operation out between the narrator's two hooks.
    ///
    /// # Errors
    /// What `act` returned, with the call's text.
    pub fn perform<T, E: Into<io::Error>>(self, act: impl FnOnce() -> Result<T, E>) -> Result<T, OpError> {
        let failed = |source| OpError { call: self.call.to_string(), source };
        if !tracing::enabled!(target: "mini::op", tracing::Level::INFO) {
            return act().map_err(|error| failed(error.into()));
        }
        tracing::info!(target: "mini::before", call = %self.call, shell = %self.shell);
        let begin = Instant::now();
        let result = act().map_err(Into::into);
        let micros = u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX);
        let errno = result.as_ref().err().map_or(0, |error: &io::Error| error.raw_os_error().unwrap_or(-1));
        tracing::info!(target: "mini::op", call = %self.call, shell = %self.shell, micros, errno);
        result.map_err(failed)
    }

    /// The same for an operation that waits for the network; its error says itself what was tried.
    ///
    /// # Errors
    /// What `act` returned.
    pub async fn watch<T, E>(self, act: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        if !tracing::enabled!(target: "mini::op", tracing::Level::INFO) {
            return act.await;
        }
        tracing::info!(target: "mini::before", call = %self.call, shell = %self.shell);
        let begin = Instant::now();
        let result = act.await;
        let micros = u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX);
        let errno = if result.is_ok() { 0 } else { -1 };
        tracing::info!(target: "mini::op", call = %self.call, shell = %self.shell, micros, errno);
        result
    }
}
