//! Commands on several things: one that fails stops no other.

use crate::exit_code::ExitCode;
use crate::output;

/// Errors of a command on several things: each is told at once, the others go on.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    all: usize,
    not_found: usize,
}

impl Failures {
    /// Tells one.
    pub(crate) fn add(&mut self, error: &anyhow::Error) {
        self.all += 1;
        let not_found = |cause: &(dyn std::error::Error + 'static)| {
            use image::{RemoveError, ResolveError};
            matches!(cause.downcast_ref(), Some(runtime::state::FindError::NotFound(_)))
                || matches!(cause.downcast_ref(), Some(RemoveError::Resolve(ResolveError::NotFound(_))))
        };
        if error.chain().any(not_found) {
            self.not_found += 1;
        }
        output::error(error);
    }

    /// How many.
    pub(crate) fn count(&self) -> usize {
        self.all
    }

    /// Success where nothing failed.
    pub(crate) fn code(&self) -> ExitCode {
        if self.all == 0 { ExitCode::Success } else { ExitCode::Failure }
    }

    /// As [`Failures::code`], for commands to which nothing there is as good as done.
    pub(crate) fn code_but_not_found(&self) -> ExitCode {
        if self.all == self.not_found { ExitCode::Success } else { ExitCode::Failure }
    }
}
