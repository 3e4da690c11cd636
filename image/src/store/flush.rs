//! The disk at work while layers are made, so that little is left for the one flush that counts.
//!
//! An image becomes visible after the whole filesystem was flushed (`commit`). By itself the kernel begins to write after
//! seconds, when all is unpacked: the processors would have worked while the disk rested, and the other way round. So
//! whenever some more has come a thread flushes what there is. It promises nothing: its errors are the last flush's to tell.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

/// After how many bytes of blobs the next flush is due: some 30 MB on disk, with what is in them.
const STEP: u64 = 8 << 20;

/// Flushes while others write.
#[derive(Debug, Default)]
pub(crate) struct Flusher {
    bytes: AtomicU64,
    is_over: Arc<AtomicBool>,
    /// Begun when the first flush is due: most pulls of small images need none. `None` where it cannot be.
    thread: OnceLock<Option<(SyncSender<()>, JoinHandle<()>)>>,
}

impl Flusher {
    /// Counts what came; when a flush is due `prepare` is asked, once, for what does it.
    pub(super) fn came<F: Fn() + Send + 'static>(&self, count: u64, prepare: impl FnOnce() -> Option<F>) {
        let before = self.bytes.fetch_add(count, Ordering::Relaxed);
        if before / STEP == (before + count) / STEP {
            return;
        }
        let thread = self.thread.get_or_init(|| {
            let flush = prepare()?;
            // One that waits is enough: it takes with it what comes until it begins.
            let (due, is_due) = sync_channel(1);
            let is_over = Arc::clone(&self.is_over);
            let run = move || {
                while is_due.recv().is_ok() {
                    if !is_over.load(Ordering::Relaxed) {
                        flush();
                    }
                }
            };
            let thread = std::thread::Builder::new().name("flush".to_owned()).spawn(run);
            Some((due, thread.ok()?))
        });
        if let Some((due, _)) = thread {
            // Full: one waits already.
            let _waits = due.try_send(());
        }
    }

    /// The flush that counts comes next.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.end();
        if let Some(Some((due, thread))) = self.thread.take() {
            drop(due);
            // It returns nothing, and does not panic.
            let _ended = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    /// For what happens at once.
    const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

    #[test]
    fn flushes_are_due_by_size_and_never_after_the_end() {
        let (began, begun) = channel();
        let (go_on, may_go_on) = channel::<()>();
        let flusher = Flusher::default();
        let prepare = || {
            Some(move || {
                began.send(()).unwrap();
                may_go_on.recv().unwrap();
            })
        };
        flusher.came(STEP - 1, || -> Option<fn()> { unreachable!("nothing is due") });
        flusher.came(1, prepare);
        begun.recv_timeout(PATIENCE).unwrap();
        // Three more are due while the first goes on, and one takes all of them.
        for _ in 0..3 {
            flusher.came(STEP, || -> Option<fn()> { unreachable!("it is there") });
        }
        go_on.send(()).unwrap();
        begun.recv_timeout(PATIENCE).unwrap();
        flusher.came(STEP, || -> Option<fn()> { unreachable!("it is there") });
        flusher.end();
        go_on.send(()).unwrap();
        drop(go_on);
        drop(flusher);
        assert!(begun.try_recv().is_err(), "flushed after the end");
    }

    #[test]
    fn where_nothing_can_flush_nothing_does() {
        let flusher = Flusher::default();
        flusher.came(STEP, || None::<fn()>);
        flusher.came(STEP, || -> Option<fn()> { unreachable!("it is asked once") });
    }
}
