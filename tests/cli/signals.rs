//! Signals that end the program at any point: the exit status shows the signal, and an unfinished change is undone.

#![cfg(unix)]

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::support::*;

/// Returns the signals and their statuses. If the tests run under `nohup`, so does the program.
fn signals() -> Vec<(Signal, i32)> {
    let mut signals = vec![(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)];
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap_or("0");
    if u64::from_str_radix(ignored.trim(), 16).is_ok_and(|mask| mask & 1 == 1) {
        eprintln!("skipped: SIGHUP is ignored here");
        signals.pop();
    }
    signals
}

fn start(sandbox: &Sandbox, words: &str) -> Child {
    let mut command = sandbox.command();
    command.args(words.split_whitespace()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the program starts")
}

/// Sends a signal, and reads the output only after the program has exited.
#[track_caller]
fn ends_by(mut child: Child, signal: Signal, status: i32) {
    kill_process(Pid::from_child(&child), signal).expect("it runs");
    // The streams stay open and unused: the program must not wait for them.
    let _stdin = child.stdin.take();
    assert_eq!(child.wait().expect("the program ends").code(), Some(status), "{signal:?}");
}

#[test]
fn a_signal_ends_a_layer_that_comes_without_end_and_leaves_nothing() {
    let tar = [base_tar(), vec![0; 2 << 20]].concat();
    for (signal, status) in signals() {
        for (format, layer) in [("gzip", gzip(&tar)), ("gzip", tar.clone()), ("zstd", tar.clone())] {
            let sandbox = Sandbox::built();
            let before = sandbox.tree();
            let mut child =
                start(&sandbox, &format!("layout add layer -p image -f - -q --jobs 2 --compress-format {format}"));
            // A pipe holds far less: when the write returns, most of the bytes were read.
            child.stdin.as_mut().expect("a pipe").write_all(&layer[..1 << 20]).expect("the program reads");
            ends_by(child, signal, status);
            assert_eq!(sandbox.tree(), before, "{format}");
        }
    }
}

#[test]
fn a_signal_ends_the_wait_for_the_first_byte() {
    let sandbox = Sandbox::built();
    let before = sandbox.tree();
    let fifo = sandbox.path("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().expect("mkfifo runs").success());
    let child = start(&sandbox, "layout add layer -p image -f fifo -q");
    // The call returns when the program has opened the other end.
    let pipe = File::options().write(true).open(&fifo).expect("opened");
    ends_by(child, Signal::TERM, 143);
    drop(pipe);
    std::fs::remove_file(fifo).expect("removed");
    assert_eq!(sandbox.tree(), before);
}

#[test]
fn a_signal_ends_the_wait_for_a_lock() {
    let cases = signals().into_iter().cycle().zip([
        ("layout annotate layer -p image -i 0 --annotation a=1", "image/oci-layout"),
        ("layout generate manifest -p image --annotation a=1 --lock-timeout 1h", "image/oci-layout"),
        ("layout init -p new", "new"),
    ]);
    // Each waits a second until the program says that it waits.
    let check = |(signal, status), (words, name)| {
        let sandbox = Sandbox::built();
        std::fs::create_dir(sandbox.path("new")).expect("created");
        let file = File::open(sandbox.path(name)).expect("opened");
        file.lock().expect("locked");
        let before = sandbox.tree();
        let mut child = start(&sandbox, words);
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let waits = stderr.lines().map_while(Result::ok).any(|line| line.starts_with("Waiting for another process"));
        assert!(waits, "{words}");
        ends_by(child, signal, status);
        assert_eq!(sandbox.tree(), before, "{words}");
    };
    std::thread::scope(|scope| {
        for (signal, case) in cases {
            scope.spawn(move || check(signal, case));
        }
    });
}

#[test]
fn a_signal_ends_an_unread_result_and_the_change_stays() {
    // More than a pipe holds.
    let value = "x".repeat(100_000);
    for (signal, status) in signals() {
        let sandbox = Sandbox::built();
        let child = start(&sandbox, &format!("layout annotate layer -p image -i 0 --annotation a={value}"));
        while sandbox.stage()["layers"][0]["annotations"] != json!({"a": value}) {
            std::thread::yield_now();
        }
        ends_by(child, signal, status);
        assert_eq!(sandbox.stage()["layers"][0]["annotations"], json!({"a": value}));
        assert!(sandbox.tree().keys().all(|name| !name.contains(".regshape-tmp-")));
        sandbox.is_valid();
    }
}

/// Shells start background jobs of scripts with SIGINT ignored; a SIGINT sent to this program is still intended.
#[test]
fn an_interrupt_that_was_ignored_at_the_start_is_not() {
    let sandbox = Sandbox::built();
    let before = sandbox.tree();
    let mut child = start_ignoring(&sandbox, "INT");
    child.stdin.as_mut().expect("a pipe").write_all(&vec![b'x'; 1 << 20]).expect("the program reads");
    ends_by(child, Signal::INT, 130);
    assert_eq!(sandbox.tree(), before);
}

/// Adds a layer from a pipe, in a program started with a signal ignored.
fn start_ignoring(sandbox: &Sandbox, signal: &str) -> Child {
    let media_type = format!("--media-type={GZIP_TYPE}");
    Command::new("sh")
        .args(["-c", &format!("trap '' {signal}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_regshape")])
        .args(["layout", "add", "layer", "-p", "image", "-f", "-", "-q", &media_type])
        .current_dir(sandbox.path("."))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a shell")
}

#[test]
#[cfg(target_os = "linux")]
fn a_command_under_nohup_goes_on_when_the_terminal_goes() {
    let sandbox = Sandbox::built();
    let mut child = start_ignoring(&sandbox, "HUP");
    let pipe = child.stdin.as_mut().expect("a pipe");
    pipe.write_all(&[base_tar(), vec![0; 1 << 20]].concat()).expect("the program reads");
    kill_process(Pid::from_child(&child), Signal::HUP).expect("it runs");
    let output = child.wait_with_output().expect("the program ends");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(sandbox.stage()["layers"].as_array().map(Vec::len), Some(3));
}
