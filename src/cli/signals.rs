//! Signals that end the program: it ends at once, leaves nothing half done, and says by its status which it was.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a signal ends the program.
static IS_LEAVING: AtomicBool = AtomicBool::new(false);

/// Does not return if a signal ends the program: what fails from then on may fail because of that.
pub(super) fn let_end() {
    while IS_LEAVING.load(Ordering::Acquire) {
        std::thread::park();
    }
}

/// Watches for the signals of this system that end the program and can be told from others.
#[cfg(unix)]
pub(super) fn watch() -> std::io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;

    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    if !is_ignored(SIGHUP) {
        signals.add_signal(SIGHUP)?;
    }
    std::thread::Builder::new().spawn(move || {
        loop {
            let pending: Vec<_> = signals.wait().collect();
            // The SIGINT that a question makes of another signal is not the cause.
            let cause = pending.iter().find(|signal| **signal != SIGINT).or(pending.first());
            if let Some(signal) = cause {
                leave(*signal);
            }
        }
    })?;
    Ok(())
}

/// Elsewhere the system ends the program, and the next command takes away what it left.
#[cfg(not(unix))]
pub(super) fn watch() -> std::io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn leave(signal: i32) -> ! {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    IS_LEAVING.store(true, Ordering::Release);
    regshape::layout::abandon();
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

/// Tells whether whoever started the program had it ignore a signal, as `nohup` does: then it stays ignored.
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    // Only Linux tells without `unsafe`.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}
