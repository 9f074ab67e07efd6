//! Running two programs in turn and comparing them.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::Result;

/// Prepares a run outside the timed part: makes a fresh place, and returns what is to be run at once.
type Prepare<'l> = Box<dyn FnMut() -> Result<Vec<Command>> + 'l>;

/// One of two that are compared.
pub(crate) struct Side<'l> {
    /// The work, as somebody would type it.
    pub(crate) shown: String,
    pub(crate) prepare: Prepare<'l>,
    /// Tells the size of what the last run wrote.
    pub(crate) output: Option<Box<dyn Fn() -> Result<u64> + 'l>>,
}

/// What came out for one of two.
pub(crate) struct Outcome {
    pub(crate) times: Vec<Duration>,
    /// The most memory that it held, in bytes, where the system tells.
    pub(crate) memory: Option<u64>,
    pub(crate) output: Option<u64>,
}

impl Outcome {
    pub(crate) fn median(&self) -> Duration {
        let mut times = self.times.clone();
        times.sort();
        times.get(times.len() / 2).copied().unwrap_or_default()
    }
}

impl Side<'_> {
    /// Runs once untimed: warms the caches, and learns memory and size.
    pub(crate) fn warm_up(&mut self) -> Result<Outcome> {
        let mut children = start((self.prepare)()?)?;
        let memory = children.first_mut().and_then(watch_memory);
        finish(children)?;
        let output = self.output.as_ref().map(|output| output()).transpose()?;
        Ok(Outcome { times: Vec::new(), memory, output })
    }

    /// Runs once and tells how long that took.
    fn time(&mut self) -> Result<Duration> {
        let commands = (self.prepare)()?;
        // What the other one has left to write must not be written while this one runs.
        #[cfg(unix)]
        rustix::fs::sync();
        let begin = Instant::now();
        finish(start(commands)?)?;
        Ok(begin.elapsed())
    }
}

/// Runs two in turn, each first in every other round.
pub(crate) fn compare<'l>(ours: &mut Side<'l>, peer: &mut Side<'l>, rounds: usize) -> Result<[Outcome; 2]> {
    let mut outcomes = [ours.warm_up()?, peer.warm_up()?];
    for round in 0..rounds {
        for turn in 0..2 {
            let side = if (round + turn) % 2 == 0 { &mut *ours } else { &mut *peer };
            outcomes[(round + turn) % 2].times.push(side.time()?);
        }
    }
    Ok(outcomes)
}

fn start(commands: Vec<Command>) -> Result<Vec<Child>> {
    let start = |mut command: Command| {
        command.stdin(Stdio::null());
        command.spawn().map_err(|error| format!("{}: {error}", command.get_program().display()).into())
    };
    commands.into_iter().map(start).collect()
}

fn finish(children: Vec<Child>) -> Result<()> {
    // All of them are waited for, whatever one of them says.
    let statuses: Vec<_> = children.into_iter().map(|mut child| child.wait()).collect();
    for status in statuses {
        let status = status?;
        if !status.success() {
            return Err(format!("it ended with {status}").into());
        }
    }
    Ok(())
}

/// Waits for a process and looks at its high-water mark of memory every millisecond. The system forgets it when the process
/// ends, and what it tells a parent afterwards (`ru_maxrss`) includes the memory of the parent.
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
