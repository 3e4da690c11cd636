//! What students type: run by a real shell, as the lab's root, in front of the learner's terminal.

use std::ffi::CString;
use std::os::fd::AsFd;
use std::path::Path;

use anyhow::Result;
use runtime::op::enter_process;
use runtime::sys::{exec, ns, process, signal, terminal};

use super::{Lab, errand};
use crate::plan::spec::PATH;

impl Lab {
    /// Runs a line, or a whole shell without one; returns its exit code.
    ///
    /// # Errors
    /// Where nobody can be sent into the lab.
    pub(crate) fn shell(&self, line: Option<&str>) -> Result<i32> {
        // What is typed may change the terminal, and be killed before it can put it back.
        terminal::remember(std::io::stdin().as_fd());
        let Some(helper) = self.birth()? else {
            let code = match self.go(self.keeper()).and_then(|()| front(line)) {
                Ok(code) => code,
                Err(error) => {
                    crate::output::error(&error);
                    1
                }
            };
            process::exit(code)
        };
        let code = errand::wait(helper);
        // SIGTTOU is blocked: a process that asks for the terminal from behind would be stopped (tcsetpgrp(3)).
        let _no_terminal = terminal::to_foreground(std::io::stdin().as_fd());
        terminal::restore();
        code
    }
}

/// The shell, in the lab's pid namespace, and our wait for it.
fn front(line: Option<&str>) -> Result<i32> {
    let Some(child) = ns::fork()? else {
        let error = become_shell(line);
        crate::output::error(&error);
        process::exit(127)
    };
    errand::wait(child)
}

fn become_shell(line: Option<&str>) -> anyhow::Error {
    enter_process("program");
    let prepared = || -> Result<()> {
        // A group of its own, in front: ctrl-C is for what the student started, not for the lesson.
        process::new_group()?;
        let _no_terminal = terminal::to_foreground(std::io::stdin().as_fd());
        signal::reset()?;
        Ok(process::change_dir(Path::new("/tmp"))?)
    };
    if let Err(error) = prepared() {
        return error;
    }
    let text = |text: &str| CString::new(text).unwrap_or_default();
    let mut arguments = vec![c"sh".to_owned()];
    match line {
        Some(line) => arguments.extend([c"-c".to_owned(), text(line)]),
        None => arguments.push(c"-i".to_owned()),
    }
    let term = std::env::var("TERM").unwrap_or_else(|_| "dumb".to_owned());
    let environment = [
        text(&format!("PATH={PATH}")),
        text(&format!("TERM={term}")),
        c"HOME=/tmp".to_owned(),
        c"PS1=lab# ".to_owned(),
    ];
    let failed = exec::execute(c"/bin/sh", &arguments, &environment);
    terminal::restore();
    failed.into()
}
