//! Every exit code of mini, in one place.

/// How mini itself ends; a container's own code is passed through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExitCode {
    /// Done.
    Success,
    /// A command failed.
    Failure,
    /// `run` and `exec`: mini failed before the program ran; wrong usage of them too.
    Mini,
    /// `inspect`, `info` and `version`: a `--format` that makes no sense, docker's own code for it.
    Format,
    /// The program is there and cannot be executed.
    NotExecutable,
    /// The program is not there.
    NotFound,
    /// What the program itself ended with; 128+n for a signal.
    Program(i32),
}

impl ExitCode {
    /// The number.
    pub(crate) fn number(self) -> i32 {
        match self {
            ExitCode::Success => 0,
            ExitCode::Failure => 1,
            ExitCode::Format => 64,
            ExitCode::Mini => 125,
            ExitCode::NotExecutable => 126,
            ExitCode::NotFound => 127,
            ExitCode::Program(code) => code,
        }
    }
}

impl From<runtime::FailureKind> for ExitCode {
    fn from(kind: runtime::FailureKind) -> ExitCode {
        match kind {
            runtime::FailureKind::NotFound => ExitCode::NotFound,
            runtime::FailureKind::NotExecutable => ExitCode::NotExecutable,
            runtime::FailureKind::Other => ExitCode::Mini,
        }
    }
}
