//! In which form progress is told.

use std::io::IsTerminal as _;

/// How progress is told, as it is asked for.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct ProgressArgs {
    /// How progress is told on standard error
    #[arg(long, value_name = "FORM", default_value = "auto")]
    progress: Asked,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Asked {
    /// Bars on a terminal, else plain
    #[default]
    Auto,
    /// A line for each state of a layer
    Plain,
    /// A JSON object a line, with docker's keys
    Json,
    /// Not at all
    Quiet,
}

/// How progress is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Silent,
    Lines,
    Bars,
    Json,
}

impl ProgressArgs {
    /// What comes of it where standard error is what it is.
    pub(crate) fn form(self, quiet: bool) -> Form {
        match self.progress {
            _ if quiet => Form::Silent,
            Asked::Quiet => Form::Silent,
            Asked::Plain => Form::Lines,
            Asked::Json => Form::Json,
            Asked::Auto if std::io::stderr().is_terminal() => Form::Bars,
            Asked::Auto => Form::Lines,
        }
    }
}
