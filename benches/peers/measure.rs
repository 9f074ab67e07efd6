//! Running two programs alternately and comparing them.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::Result;

/// Prepares a run outside the timed part: makes a fresh place, and returns the commands to run at once.
type Prepare<'l> = Box<dyn FnMut() -> Result<Vec<Command>> + 'l>;

/// One of the two programs of a comparison.
pub(crate) struct Side<'l> {
    /// The work, as a user would type it.
    pub(crate) shown: String,
    pub(crate) prepare: Prepare<'l>,
    /// Returns the size of the last run's output.
    pub(crate) output: Option<Box<dyn Fn() -> Result<u64> + 'l>>,
}

/// The measurements of one side.
pub(crate) struct Outcome {
    pub(crate) times: Vec<Duration>,
    /// The processor time of its processes on all cores, in all rounds, where the system reports it.
    pub(crate) processor_time: Option<Duration>,
    /// Its peak memory in bytes, where the system reports it.
    pub(crate) memory: Option<u64>,
    pub(crate) output: Option<u64>,
}

impl Outcome {
    pub(crate) fn median(&self) -> Duration {
        let mut times = self.times.clone();
        times.sort();
        times.get(times.len() / 2).copied().unwrap_or_default()
    }

    /// Returns the utilization of the cores: 1 if each of them was busy all the time.
    pub(crate) fn busy(&self, cores: usize) -> Option<f64> {
        let total: Duration = self.times.iter().sum();
        // The system counts hundredths of a second.
        let is_long = total > Duration::from_millis(500);
        Some(self.processor_time?.as_secs_f64() / (total.as_secs_f64() * cores as f64)).filter(|_| is_long)
    }
}

impl Side<'_> {
    /// Runs once without timing: warms the caches, and measures memory and output size.
    pub(crate) fn warm_up(&mut self) -> Result<Outcome> {
        let mut children = start((self.prepare)()?)?;
        let memory = children.first_mut().and_then(watch_memory);
        finish(children)?;
        let output = self.output.as_ref().map(|output| output()).transpose()?;
        Ok(Outcome { times: Vec::new(), processor_time: Some(Duration::ZERO), memory, output })
    }

    /// Runs once, and adds the elapsed time.
    fn time(&mut self, outcome: &mut Outcome) -> Result<()> {
        let commands = (self.prepare)()?;
        // Pending writes of the other side must not be done while this one runs.
        #[cfg(unix)]
        rustix::fs::sync();
        let before = processor_time_of_children();
        let begin = Instant::now();
        finish(start(commands)?)?;
        outcome.times.push(begin.elapsed());
        let taken = processor_time_of_children().zip(before).map(|(after, before)| after.saturating_sub(before));
        outcome.processor_time = outcome.processor_time.zip(taken).map(|(sum, taken)| sum + taken);
        Ok(())
    }
}

/// Runs two programs alternately; each is first in every other round.
pub(crate) fn compare<'l>(ours: &mut Side<'l>, peer: &mut Side<'l>, rounds: usize) -> Result<[Outcome; 2]> {
    let mut outcomes = [ours.warm_up()?, peer.warm_up()?];
    for round in 0..rounds {
        for turn in 0..2 {
            let side = if (round + turn) % 2 == 0 { &mut *ours } else { &mut *peer };
            side.time(&mut outcomes[(round + turn) % 2])?;
        }
    }
    Ok(outcomes)
}

/// Returns the processor time of the finished children on all cores: `cutime` and `cstime` in proc(5).
fn processor_time_of_children() -> Option<Duration> {
    /// The value of `getconf CLK_TCK` on every machine of today.
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The program name, in parentheses, may contain blanks.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(13)?.parse::<u64>().ok()? + fields.get(14)?.parse::<u64>().ok()?;
    Some(Duration::from_secs_f64(ticks as f64 / TICKS_PER_SECOND))
}

fn start(commands: Vec<Command>) -> Result<Vec<Child>> {
    let start = |mut command: Command| {
        command.stdin(Stdio::null());
        command.spawn().map_err(|error| format!("{}: {error}", command.get_program().display()).into())
    };
    commands.into_iter().map(start).collect()
}

fn finish(children: Vec<Child>) -> Result<()> {
    // All of them are waited for, even after a failure.
    let statuses: Vec<_> = children.into_iter().map(|mut child| child.wait()).collect();
    for status in statuses {
        let status = status?;
        if !status.success() {
            return Err(format!("it ended with {status}").into());
        }
    }
    Ok(())
}

/// Waits for a process and reads its high-water mark of memory every millisecond. The system forgets it when the
/// process ends, and the value that a parent gets afterwards (`ru_maxrss`) includes the memory of the parent.
fn watch_memory(child: &mut Child) -> Option<u64> {
    let status = format!("/proc/{}/status", child.id());
    let mut most = None;
    while let Ok(None) = child.try_wait() {
        let mark = fs::read_to_string(&status).ok().and_then(|status| {
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        });
        most = most.max(mark);
        thread::sleep(Duration::from_millis(1));
    }
    most.map(|kib| kib * 1024)
}
