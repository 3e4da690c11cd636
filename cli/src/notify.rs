//! What a service manager that started mini wants to know: sd_notify(3), without its library.

use runtime::op::step;
use rustix::process::Pid;

use crate::output;

/// The container runs. `main`: from now on this process is the service, and ours ends (`run -d`).
pub(crate) fn ready(main: Option<Pid>) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty()) else { return };
    step("Tell the service manager that the container runs");
    let main = main.map_or_else(String::new, |pid| format!("MAINPID={}\n", pid.as_raw_nonzero()));
    let text = format!("READY=1\n{main}STATUS=the container runs\n");
    if let Err(error) = runtime::sys::socket::send_to(&socket, text.as_bytes()) {
        output::warn(&format!("cannot tell the service manager that the container runs: {error}"));
    }
}
