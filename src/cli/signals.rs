//! Signals that end the program: it ends at once, leaves nothing half done, and says by its status which it was.

use std::sync::atomic::{AtomicBool, Ordering};

use regshape::Interrupt;

/// Whether a signal ends the program.
static IS_LEAVING: AtomicBool = AtomicBool::new(false);

/// Does not return if a signal ends the program: a failure from then on may be due to that.
pub(crate) fn let_end() {
    while IS_LEAVING.load(Ordering::Acquire) {
        std::thread::park();
    }
}

/// Makes a write that the limit on file sizes (`ulimit -f`) does not let through an error like any other: unless SIGXFSZ is
/// handled, it kills the program in the middle of its work.
#[cfg(unix)]
pub(crate) fn survive_file_limit() {
    use std::sync::Arc;

    // If that cannot be, the program still works within the limit.
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::new(AtomicBool::new(false)));
}

/// Elsewhere there is no such limit.
#[cfg(not(unix))]
pub(crate) fn survive_file_limit() {}

/// Watches for the signals of this system that end the program and can be distinguished. Without a thread for that,
/// they end the program as any other, and the next command deletes its leftovers.
#[cfg(unix)]
pub(crate) fn watch(interrupt: Interrupt) -> std::io::Result<()> {
    use std::sync::mpsc::channel;

    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;

    let (sender, receiver) = channel::<Signals>();
    let watcher = std::thread::Builder::new().spawn(move || {
        let Ok(mut signals) = receiver.recv() else { return };
        loop {
            let pending: Vec<_> = signals.wait().collect();
            // The SIGINT that a question makes of another signal is not the cause.
            let cause = pending.iter().find(|signal| **signal != SIGINT).or(pending.first());
            if let Some(signal) = cause {
                leave(*signal, &interrupt);
            }
        }
    });
    if watcher.is_err() {
        return Ok(());
    }
    let signals = Signals::new([SIGINT, SIGTERM])?;
    if !is_ignored(SIGHUP) {
        signals.add_signal(SIGHUP)?;
    }
    sender.send(signals).expect("the watcher waits for them");
    Ok(())
}

/// Elsewhere the system ends the program, and the next command deletes its leftovers.
#[cfg(not(unix))]
pub(crate) fn watch(_interrupt: Interrupt) -> std::io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn leave(signal: i32, interrupt: &Interrupt) -> ! {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    IS_LEAVING.store(true, Ordering::Release);
    interrupt.abandon();
    // A terminal that is stopped, or gone, must not keep the program.
    let (sender, receiver) = channel::<()>();
    let tidying = std::thread::Builder::new().spawn(move || {
        super::progress::clear();
        super::prompt::leave();
        drop(sender);
    });
    if tidying.is_ok() {
        let _ = receiver.recv_timeout(Duration::from_millis(500));
    }
    std::process::exit(128 + signal)
}

/// Returns whether the parent process had the program ignore a signal, as `nohup` does: then it stays ignored.
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    // Only Linux tells without `unsafe`.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}
