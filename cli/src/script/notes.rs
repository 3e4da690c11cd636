//! What was asked for and is not in the script, in sentences: nothing is left out without a word. PURE.

use super::Subject;
use super::process::travels;
use crate::plan::life::RestartPolicy;
use crate::plan::storage::SecretKind;

/// One sentence each.
pub(super) fn notes(subject: &Subject<'_>) -> Vec<String> {
    let Subject { request, plan, init, .. } = subject;
    let mut all = Vec::new();
    let mut say = |asked: bool, text: &str| {
        if asked {
            all.push(text.to_owned());
        }
    };
    say(
        init.process.seccomp.is_some(),
        "The filter of system calls (seccomp) is missing: no program of the host's loads one for another.",
    );
    say(
        !subject.groups.iter().all(|group| group.controllers.is_empty()),
        "The device rules of control groups of version 2 are a BPF program, which no program of the host's loads: whoever has a \
         device node can open it.",
    );
    say(
        true,
        "Descriptors from 10 on that are open where the script is called stay open in the container: sh(1) cannot close them.",
    );
    say(true, "The container keeps its caller's session keyring: util-linux has no keyctl(1).");
    say(
        true,
        "There is no monitor: nothing is written down, logged, restarted or checked, and `mini ps` does not know the container. Its \
         streams are the script's own, which its root may use, but not open again by name (/dev/stdout).",
    );
    say(request.detached, "-d: the script stays with the container; `sh SCRIPT &` leaves it alone.");
    say(
        request.terminal,
        "-t: no terminal of the container's own is opened, and /dev/console is not there: it has the one that the script has.",
    );
    say(
        !request.detached
            && request.attached()
                != crate::plan::stdio::Attach { input: request.interactive, output: true, error: true },
        "-a: all streams are the script's.",
    );
    say(
        init.process.reaper,
        "--init: no init stays; the program is process 1 itself, and orphans are its own to bury.",
    );
    say(plan.lifecycle.life.restart != RestartPolicy::No, "--restart: nobody starts it again.");
    say(
        plan.lifecycle.life.timeout.is_some(),
        "--timeout: nobody kills it; `timeout SECONDS sh SCRIPT` does.",
    );
    say(plan.lifecycle.health.is_some(), "Health checks: nobody asks how it does.");
    say(
        request.options.stop_signal.is_some() || request.options.stop_timeout.is_some(),
        "--stop-signal, --stop-timeout: a signal that ends the script kills the container at once.",
    );
    say(
        !request.options.labels.is_empty() || !request.options.annotations.is_empty(),
        "Labels and annotations: they are kept with a record, and there is none.",
    );
    say(
        request.options.log != crate::plan::logging::LogRequest::default(),
        "--log-driver, --log-opt: nothing is logged.",
    );
    say(
        init.joined.iter().any(|_| true),
        "What is shared with another container is found by the process number that it had when this was written.",
    );
    for volume in &request.options.storage.volumes {
        all.push(format!(
            "The volume {}: where it is not there yet, one is made that goes with the script.",
            volume.name
        ));
    }
    for secret in &request.options.storage.secrets {
        let kind = match &secret.kind {
            SecretKind::Mount { .. } => "the file",
            SecretKind::Env { .. } => "the variable",
        };
        all.push(format!("--secret {}: {kind} is missing, since a script is read by many.", secret.name));
    }
    for variable in init.process.env.iter().filter(|variable| !travels(variable)) {
        let name = variable.split('=').next().unwrap_or_default();
        all.push(format!(
            "The variable {name:?} is missing: the last shell hands on what its own language can name."
        ));
    }
    all.extend(subject.said.iter().cloned());
    all
}
