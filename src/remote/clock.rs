//! The time as a value, so that tests wait for nothing.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// How often one who waits looks whether that is over.
const LOOK: Duration = Duration::from_millis(50);

/// Tells the time and lets it pass. Tests have clocks of their own.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Returns the time since an arbitrary moment. It never decreases.
    fn now(&self) -> Duration;
    /// Returns the date.
    fn date(&self) -> SystemTime;
    /// Waits.
    fn sleep(&self, duration: Duration);
    /// Waits, but not for long after a function says that it is over. Unless that is provided, it is a whole sleep.
    fn sleep_unless(&self, duration: Duration, is_over: &dyn Fn() -> bool) {
        if !is_over() {
            self.sleep(duration);
        }
    }
}

/// The clock of the system.
#[derive(Debug)]
pub(crate) struct SystemClock(Instant);

impl Default for SystemClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn date(&self) -> SystemTime {
        SystemTime::now()
    }

    fn sleep(&self, duration: Duration) {
        thread::sleep(duration);
    }

    fn sleep_unless(&self, duration: Duration, is_over: &dyn Fn() -> bool) {
        let start = Instant::now();
        while !is_over() && start.elapsed() < duration {
            thread::sleep(LOOK.min(duration - start.elapsed().min(duration)));
        }
    }
}
