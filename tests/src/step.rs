//! Steps through the kernel operations of a run, and kills whoever is about to do one.
//!
//! `mini` started with `MINI_STEP_FD=N`, an inherited end of a sequenced-packet socket pair, asks before every operation:
//!
//! ```text
//!   any process of mini                                     Stepper
//!    pipe()
//!    {"role":…,"seq":…,"call":…} + the pipe's write end ──►  learns the sender from SCM_CREDENTIALS
//!    read(pipe) … waits                                      goes on: closes the write end   (or kills the sender)
//!    end of file: carries the operation out
//! ```
//! Credentials name the sender in the receiver's own pid namespace, so a container's init, which believes that it is
//! number 1, is found too. A stepper that goes away closes every pipe it holds: nobody waits for ever.

use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::time::Instant;

use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixCredentials, cmsg_space, recvmsg,
    setsockopt, socketpair, sockopt,
};
use rustix::io::{FdFlags, fcntl_setfd};
use serde_json::Value;

use crate::command::{Mini, Output};
use crate::{processes, wait};

/// An operation that is about to be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Which process: `client`, `monitor`, `init`, `exec`, `pull`.
    pub role: String,
    /// Its number within that role, from 0: counted here, since a role may be played by several processes.
    pub index: usize,
    /// The call, as `--explain` prints it.
    pub call: String,
    /// The process, as the machine numbers it.
    pub pid: i32,
}

/// What is to become of a process that asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    GoOn,
    /// It dies by SIGKILL before the operation.
    Kill,
}

/// The receiving end, and what it has seen.
#[derive(Debug)]
pub struct Stepper {
    socket: OwnedFd,
    steps: Vec<Step>,
}

/// The whole of a stepped command.
#[derive(Debug)]
pub struct Stepped {
    /// What the command answered.
    pub output: Output,
    /// Every operation, in the order in which they were announced.
    pub steps: Vec<Step>,
    /// The processes that were killed.
    pub killed: Vec<Step>,
}

impl Stepper {
    /// Carries `command` out and judges every operation, until the command and every process of `mini` that it left
    /// (a monitor that tidies up, or one whose container lives on: `done` says when that is enough) has ended.
    #[track_caller]
    pub fn run(
        command: Mini,
        mut judge: impl FnMut(&Step) -> Verdict,
        mut done: impl FnMut(&[Step]) -> bool,
    ) -> Stepped {
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
                .expect("a socket pair");
        setsockopt(&ours, sockopt::PassCred, &true).expect("ask for credentials");
        fcntl_setfd(&theirs, FdFlags::empty()).expect("let the command inherit its end");
        let mut running = command.env("MINI_STEP_FD", theirs.as_raw_fd().to_string()).start();
        running.close_stdin();
        drop(theirs);
        let mut stepper = Self { socket: ours, steps: Vec::new() };
        let mut killed = Vec::new();
        let deadline = Instant::now() + wait::PATIENCE;
        let (mut ended, mut all_gone) = (false, false);
        while !(ended && (all_gone || done(&stepper.steps))) {
            let mut fds = Vec::new();
            fds.extend((!all_gone).then(|| stepper.socket.as_fd()));
            let streams_at = fds.len();
            fds.extend((!ended).then(|| running.descriptors()).into_iter().flatten());
            let ready = wait::ready(&fds, deadline);
            assert!(ready.contains(&true), "hung after {:#?}", stepper.steps.last());
            if !all_gone && ready[0] {
                match stepper.receive() {
                    None => all_gone = true,
                    Some((step, hold)) => {
                        if judge(&step) == Verdict::Kill {
                            processes::kill(step.pid);
                            killed.push(step.clone());
                        }
                        drop(hold);
                        stepper.steps.push(step);
                    }
                }
            }
            if ready[streams_at..].contains(&true) {
                ended = running.pump_ready();
            }
        }
        Stepped { output: running.wait(), steps: stepper.steps, killed }
    }

    /// One message; none when every process that held the other end has gone.
    fn receive(&self) -> Option<(Step, OwnedFd)> {
        let mut text = vec![0; 1 << 16];
        let mut control = vec![0; cmsg_space::<[i32; 1]>() + cmsg_space::<UnixCredentials>()];
        let mut parts = [IoSliceMut::new(&mut text)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<()>(self.socket.as_raw_fd(), &mut parts, Some(&mut control), flags)
            .expect("recvmsg of a step");
        let (mut hold, mut pid) = (None, None);
        for control in message.cmsgs().expect("the buffer holds both") {
            match control {
                ControlMessageOwned::ScmRights(fds) => hold = fds.into_iter().map(own).next(),
                ControlMessageOwned::ScmCredentials(sender) => pid = Some(sender.pid()),
                _ => {}
            }
        }
        let length = message.bytes;
        if length == 0 {
            return None;
        }
        let fields: Value = serde_json::from_slice(&text[..length]).expect("a step is JSON");
        let field =
            |name: &str| fields[name].as_str().unwrap_or_else(|| panic!("no {name} in {fields}")).to_owned();
        let role = field("role");
        let index = self.steps.iter().filter(|step| step.role == role).count();
        let step = Step { index, call: field("call"), pid: pid.expect("the kernel adds credentials"), role };
        Some((step, hold.expect("a step carries a pipe")))
    }
}

#[expect(unsafe_code, reason = "a descriptor that arrives in a message has no owner yet")]
fn own(fd: i32) -> OwnedFd {
    // SAFETY: the kernel installed it for this message; nobody else in this process knows its number.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Plays `mini`: asks twice before it speaks.
    const SENDER: &str = r#"
import array, json, os, socket, sys
s = socket.socket(fileno=int(os.environ["MINI_STEP_FD"]))
for n in range(2):
    r, w = os.pipe()
    text = json.dumps({"role": "client", "seq": n, "call": f"call {n}"}).encode()
    s.sendmsg([text], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [w]))])
    os.close(w)
    assert os.read(r, 1) == b""
    print("did", n, flush=True)
"#;

    fn sender() -> Mini {
        let mut command = Command::new("python3");
        command.args(["-c", SENDER]);
        Mini::new(command)
    }

    #[test]
    fn every_operation_is_seen_in_order() {
        let stepped = Stepper::run(sender(), |_| Verdict::GoOn, |_| false);
        stepped.output.ok().stdout("did 0\ndid 1\n");
        let calls: Vec<_> = stepped.steps.iter().map(|step| (step.index, step.call.as_str())).collect();
        assert_eq!(calls, [(0, "call 0"), (1, "call 1")]);
        assert!(stepped.killed.is_empty());
    }

    #[test]
    fn a_killed_process_never_does_its_operation() {
        let judge = |step: &Step| if step.index == 1 { Verdict::Kill } else { Verdict::GoOn };
        let stepped = Stepper::run(sender(), judge, |_| false);
        assert_eq!(stepped.output.status.code(), None, "{}", stepped.output);
        stepped.output.stdout("did 0\n");
        assert_eq!(stepped.killed.len(), 1);
    }
}
