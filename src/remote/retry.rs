//! The policy of a client: when a request is sent again, and how many are sent at once.
//!
//! A request that fails for a while is tried again after 0.2 s, 0.4 s and so on up to 30 s, with jitter, or when the server
//! says so (RFC 9110, 10.2.3). A server that has too many requests (429) gets half as many at once, and slowly more again.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::clock::Clock;
use super::stop::Stop;
use super::wait_observer::{SHORTEST, Wait, WaitObserver, answered, reason};
use crate::error::RemoteError;

/// The first pause. Each later one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// The longest pause that no server asked for.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The longest pause that a server may ask for.
const LONGEST_WAIT: Duration = Duration::from_mins(5);

/// The number of answers in a row after which one more request is sent at once.
const CALM: usize = 16;

/// A request that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Box<RemoteError>,
    /// Whether another try may succeed.
    pub(crate) is_transient: bool,
    /// How long the server asks to wait.
    pub(crate) retry_after: Option<Duration>,
    /// The status of the answer, if there was one.
    pub(crate) status: Option<u16>,
}

impl Failure {
    /// Makes a failure that no other try mends.
    pub(crate) fn lasting(error: RemoteError) -> Self {
        Self { error: Box::new(error), is_transient: false, retry_after: None, status: None }
    }
}

/// The tries of one request.
#[derive(Debug)]
pub(crate) struct Tries {
    made: u32,
}

/// The rules for requests to one host.
#[derive(Debug)]
pub(crate) struct Policy {
    clock: Arc<dyn Clock>,
    retries: u32,
    slots: Mutex<Slots>,
    freed: Condvar,
    host: String,
    waits: Option<WaitObserver>,
    jitter: RandomState,
}

#[derive(Debug)]
struct Slots {
    most: usize,
    limit: usize,
    taken: usize,
    /// The answers since the limit was changed.
    calm: usize,
    /// Nothing is sent before this time.
    not_before: Duration,
    /// The status of the answer that asked for that.
    busy: u16,
    /// The end of the last wait that was told.
    told: Duration,
    retried: u64,
}

/// The right to send one request.
#[derive(Debug)]
pub(crate) struct Slot<'a>(&'a Policy);

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.slots().taken -= 1;
        self.0.freed.notify_one();
    }
}

impl Policy {
    pub(crate) fn new(clock: Arc<dyn Clock>, retries: u32, at_once: usize) -> Self {
        let slots = Slots {
            most: at_once,
            limit: at_once,
            taken: 0,
            calm: 0,
            not_before: Duration::ZERO,
            busy: 0,
            told: Duration::ZERO,
            retried: 0,
        };
        let (host, jitter) = (String::new(), RandomState::new());
        Self { clock, retries, slots: Mutex::new(slots), freed: Condvar::new(), host, waits: None, jitter }
    }

    /// Has an observer told of long waits for a host.
    pub(crate) fn telling(self, host: String, waits: Option<WaitObserver>) -> Self {
        Self { host, waits, ..self }
    }

    /// Tells of a wait that is long and ends later than those that were told.
    fn tell(&self, duration: Duration, reason: impl FnOnce() -> String) {
        let Some(observer) = self.waits.as_ref().filter(|_| duration >= SHORTEST) else { return };
        let end = self.clock.now() + duration;
        let mut slots = self.slots();
        if end > slots.told + SHORTEST / 2 {
            slots.told = end;
            drop(slots);
            observer.observe(&Wait { reason: reason(), duration });
        }
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Begins to count the tries of a request.
    pub(crate) fn tries(&self) -> Tries {
        Tries { made: 0 }
    }

    /// Returns how many requests were sent again.
    pub(crate) fn retried(&self) -> u64 {
        self.slots().retried
    }

    /// Has those look who wait for a slot: their work may have ended.
    pub(crate) fn look_up(&self) {
        drop(self.slots());
        self.freed.notify_all();
    }

    /// Waits until a request may be sent, or the work that it is for has ended.
    pub(crate) fn slot(&self, stop: &Stop) -> Slot<'_> {
        let mut slots = self.slots();
        while slots.taken >= slots.limit && !stop.is_set() {
            slots = self.freed.wait(slots).unwrap_or_else(PoisonError::into_inner);
        }
        slots.taken += 1;
        let (pause, busy) = (slots.not_before.saturating_sub(self.clock.now()), slots.busy);
        drop(slots);
        if !pause.is_zero() {
            self.tell(pause, || answered(&self.host, busy));
            self.clock.sleep_unless(pause, &|| stop.is_set());
        }
        Slot(self)
    }

    /// Notes an answer.
    pub(crate) fn answered(&self, status: u16, retry_after: Option<Duration>) {
        let mut slots = self.slots();
        if status == 429 {
            slots.limit = (slots.limit / 2).max(1);
            slots.calm = 0;
        } else if slots.limit < slots.most {
            slots.calm += 1;
            if slots.calm >= CALM {
                slots.limit += 1;
                slots.calm = 0;
                self.freed.notify_one();
            }
        }
        if let Some(wait) = retry_after.filter(|wait| *wait <= LONGEST_WAIT && matches!(status, 429 | 503)) {
            (slots.not_before, slots.busy) = (slots.not_before.max(self.clock.now() + wait), status);
        }
    }

    /// Waits before a request is sent again.
    ///
    /// # Errors
    ///
    /// The failure, if it will last, there were enough tries, or the work has ended.
    pub(crate) fn pause(
        &self,
        tries: &mut Tries,
        failure: Failure,
        host: &str,
        stop: &Stop,
    ) -> Result<(), RemoteError> {
        if !failure.is_transient || tries.made >= self.retries || stop.is_set() {
            return Err(*failure.error);
        }
        let pause = match failure.retry_after {
            Some(wait) if wait > LONGEST_WAIT => return Err(RemoteError::Later { host: host.to_owned(), wait }),
            Some(wait) => wait,
            None => self.jittered(FIRST_PAUSE.saturating_mul(1 << tries.made.min(16))),
        };
        self.tell(pause, || reason(&failure.error));
        self.sleep(pause, stop);
        if stop.is_set() {
            return Err(*failure.error);
        }
        tries.made += 1;
        self.slots().retried += 1;
        Ok(())
    }

    /// Takes another try for a reason of the caller's. Returns whether one is left.
    pub(crate) fn takes_another(&self, tries: &mut Tries) -> bool {
        let is_left = tries.made < self.retries;
        if is_left {
            tries.made += 1;
            self.slots().retried += 1;
        }
        is_left
    }

    /// Waits because another client was faster, for a time of its own.
    pub(crate) fn pause_for_others(&self, attempt: usize, stop: &Stop) {
        self.sleep(self.jittered(FIRST_PAUSE / 4 * u32::try_from(attempt).unwrap_or(u32::MAX)), stop);
    }

    fn sleep(&self, pause: Duration, stop: &Stop) {
        self.clock.sleep_unless(pause, &|| stop.is_set());
    }

    /// Returns between a half and the whole of a pause, so that those who failed together do not come back together.
    fn jittered(&self, pause: Duration) -> Duration {
        let pause = pause.min(LONGEST_PAUSE);
        let random = self.jitter.hash_one(self.clock.now()) % 1024;
        pause / 2 + pause * u32::try_from(random).expect("it is small") / 2048
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a `Retry-After`: seconds or a date (RFC 9110, 10.2.3).
pub(crate) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// Returns whether a status may be another one after a while.
pub(crate) fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A clock whose time passes in sleeps only.
    #[derive(Debug, Default)]
    pub(crate) struct TestClock(Mutex<Vec<Duration>>);

    impl TestClock {
        fn slept(&self) -> Vec<Duration> {
            std::mem::take(&mut self.0.lock().expect("unpoisoned"))
        }
    }

    impl Clock for TestClock {
        fn now(&self) -> Duration {
            self.0.lock().expect("unpoisoned").iter().sum()
        }

        fn date(&self) -> SystemTime {
            SystemTime::UNIX_EPOCH + self.now()
        }

        fn sleep(&self, duration: Duration) {
            self.0.lock().expect("unpoisoned").push(duration);
        }
    }

    fn error() -> RemoteError {
        RemoteError::NotARegistry { host: "r.example".to_owned() }
    }

    fn transient(retry_after: Option<Duration>) -> Failure {
        Failure { error: Box::new(error()), is_transient: true, retry_after, status: Some(503) }
    }

    #[test]
    fn pauses_double_up_to_a_limit_and_then_the_error_is_the_result() {
        let clock = Arc::new(TestClock::default());
        let policy = Policy::new(clock.clone(), 10, 1);
        let mut tries = policy.tries();
        for _ in 0..10 {
            policy.pause(&mut tries, transient(None), "r.example", &Stop::default()).expect("another try");
        }
        let mut whole = FIRST_PAUSE;
        for pause in clock.slept() {
            assert!(pause >= whole / 2 && pause <= whole, "{pause:?} of {whole:?}");
            whole = (whole * 2).min(LONGEST_PAUSE);
        }
        assert_eq!(policy.pause(&mut tries, transient(None), "r.example", &Stop::default()), Err(error()));
        assert_eq!(policy.retried(), 10);
    }

    #[test]
    fn a_server_says_when_to_come_back() {
        let clock = Arc::new(TestClock::default());
        let policy = Policy::new(clock.clone(), 3, 1);
        let mut tries = policy.tries();
        let five_minutes = Duration::from_mins(5);
        policy.pause(&mut tries, transient(Some(five_minutes)), "r.example", &Stop::default()).expect("another try");
        assert_eq!(clock.slept(), [five_minutes]);
        let wait = five_minutes + Duration::from_secs(1);
        let later = policy.pause(&mut tries, transient(Some(wait)), "r.example", &Stop::default());
        assert_eq!(later, Err(RemoteError::Later { host: "r.example".to_owned(), wait }));
        assert_eq!(later.expect_err("too long").to_string(), "r.example asks to wait for 6 min");
        for (seconds, expected) in [
            (119, "119 s"),
            (120, "2 min"),
            (7_199, "120 min"),
            (7_201, "3 h"),
            (86_400, "24 h"),
            (86_401, "more than a day"),
            (u64::MAX, "more than a day"),
        ] {
            let later = RemoteError::Later { host: "r.example".to_owned(), wait: Duration::from_secs(seconds) };
            assert_eq!(later.to_string(), format!("r.example asks to wait for {expected}"));
        }
        assert_eq!(policy.pause(&mut tries, Failure::lasting(error()), "r.example", &Stop::default()), Err(error()));
        assert!(clock.slept().is_empty());
    }

    #[test]
    fn a_long_wait_is_told_once_to_all_who_wait() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let observer = {
            let told = Arc::clone(&told);
            WaitObserver::new(move |wait| told.lock().expect("unpoisoned").push(wait.to_string()))
        };
        let take = || std::mem::take(&mut *told.lock().expect("unpoisoned"));
        let policy = Policy::new(Arc::new(TestClock::default()), 9, 8).telling("r.example".to_owned(), Some(observer));
        let seconds = Duration::from_secs;
        for (wait, expected) in [(1, &[][..]), (20, &["waiting 20 s: r.example is busy (429)"]), (20, &[]), (19, &[])] {
            policy.tell(seconds(wait), || answered("r.example", 429));
            assert_eq!(take(), expected);
        }
        policy.tell(seconds(30), || answered("r.example", 503));
        assert_eq!(take(), ["waiting 30 s: r.example answered 503"]);
        // Those who wait for a slot are told, too: the one that was answered may have given up.
        policy.answered(429, Some(seconds(60)));
        drop(policy.slot(&Stop::default()));
        assert_eq!(take(), ["waiting 60 s: r.example is busy (429)"]);
        let mut tries = policy.tries();
        (0..7).for_each(|_| policy.pause(&mut tries, transient(None), "r.example", &Stop::default()).expect("a try"));
        let told = take();
        assert!(
            !told.is_empty()
                && told.iter().all(|line| line.ends_with(" s: r.example is not a registry: it has no /v2/"))
        );
    }

    #[test]
    fn seconds_and_dates_are_read() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777 - 10);
        for (value, expected) in [
            ("7", Some(Duration::from_secs(7))),
            (" 0 ", Some(Duration::ZERO)),
            ("99999999999999999999", Some(Duration::MAX - Duration::from_nanos(999_999_999))),
            ("", None),
            ("+7", None),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(Duration::from_secs(10))),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(Duration::ZERO)),
            ("-1", None),
            ("soon", None),
        ] {
            assert_eq!(retry_after(value, now), expected, "{value}");
        }
    }

    #[test]
    fn too_many_requests_halve_the_slots_and_calm_brings_them_back() {
        let clock = Arc::new(TestClock::default());
        let policy = Policy::new(clock.clone(), 3, 8);
        for expected in [4, 2, 1, 1] {
            policy.answered(429, None);
            assert_eq!(policy.slots().limit, expected);
        }
        for expected in 2..=8 {
            (0..CALM).for_each(|_| policy.answered(200, None));
            assert_eq!(policy.slots().limit, expected);
        }
        // All that go to the host wait.
        policy.answered(429, Some(Duration::from_secs(9)));
        drop(policy.slot(&Stop::default()));
        assert_eq!(clock.slept(), [Duration::from_secs(9)]);
    }
}
