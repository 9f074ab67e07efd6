//! Sends answers, whole or with the faults that rules ask for.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use super::http::{Answer, Stream, reason};
use super::rules::Effects;
use super::server::{Active, Stop};

/// How the sending of an answer ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum End {
    Whole,
    /// The connection is to be closed in the middle.
    Cut,
    /// The connection is to be kept, in silence.
    Held,
}

/// Tells the client that nothing more comes.
pub(crate) fn close(stream: &mut Stream) {
    match stream {
        Stream::Plain(stream) => {
            let _ = stream.shutdown(Shutdown::Write);
        }
        Stream::Tls(session) => {
            session.conn.send_close_notify();
            let _ = session.flush();
            let _ = session.sock.shutdown(Shutdown::Write);
        }
    }
}

/// Sends an answer with the faults of the rules.
pub(crate) fn send(
    stream: &mut Stream,
    answer: &Answer,
    effects: &Effects,
    is_head: bool,
    closes: bool,
    stop: &Stop,
    active: &mut Active<'_>,
) -> io::Result<End> {
    let has_body = !matches!(answer.status, 100..200 | 204 | 304);
    let is_chunked = has_body && (effects.is_chunked || effects.has_body_bomb);
    let length = answer.body.len() + effects.extra_bytes;
    let mut head = format!("HTTP/1.1 {} {}\r\n", answer.status, reason(answer.status));
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if is_chunked {
        head.push_str("Transfer-Encoding: chunked\r\n");
    } else if has_body && answer.get("content-length").is_none() {
        head.push_str(&format!("Content-Length: {length}\r\n"));
    }
    if closes {
        head.push_str("Connection: close\r\n");
    }
    if effects.has_header_bomb {
        return header_bomb(stream, &head, stop);
    }
    head.push_str("\r\n");
    if let Some(after) = effects.cut_head {
        let after = usize::try_from(after).unwrap_or(usize::MAX).min(head.len());
        stream.write_all(&head.as_bytes()[..after])?;
        stream.flush()?;
        return Ok(End::Cut);
    }
    if let Some(interval) = effects.drip_head {
        for byte in head.bytes() {
            stream.write_all(&[byte])?;
            stream.flush()?;
            if !stop.wait(interval) {
                return Ok(End::Cut);
            }
        }
        head.clear();
    }
    let mut pending = head.into_bytes();
    if is_head || !has_body {
        active.end();
        stream.write_all(&pending)?;
        stream.flush()?;
        return Ok(End::Whole);
    }
    if effects.has_body_bomb {
        return body_bomb(stream, &pending, stop);
    }
    let mut body = answer.body.open()?.chain(io::repeat(b'x').take(effects.extra_bytes));
    let end = effects.cut_down.into_iter().chain(effects.stall_down).min();
    let mut buffer = vec![0; effects.drip.map_or(256 * 1024, |(bytes, _)| bytes.max(1))];
    let mut sent = 0;
    loop {
        let most = end.map_or(buffer.len() as u64, |end| (end - sent).min(buffer.len() as u64));
        let read = body.read(&mut buffer[..usize::try_from(most).expect("no more than the buffer")])?;
        let piece = &mut buffer[..read];
        for flip in effects.flips.iter().filter(|flip| (sent..sent + read as u64).contains(*flip)) {
            piece[usize::try_from(flip - sent).expect("within the piece")] ^= 0xff;
        }
        if is_chunked && read > 0 {
            pending.extend_from_slice(format!("{read:x}\r\n").as_bytes());
        }
        if sent + read as u64 == length || end == Some(sent + read as u64) {
            active.end();
        }
        // A small body goes out with the head.
        if pending.len() + read < 64 * 1024 {
            pending.extend_from_slice(piece);
            stream.write_all(&pending)?;
        } else {
            stream.write_all(&pending)?;
            stream.write_all(piece)?;
        }
        pending.clear();
        if is_chunked && read > 0 {
            pending.extend_from_slice(b"\r\n");
        }
        sent += read as u64;
        if end == Some(sent) {
            stream.flush()?;
            return Ok(if effects.cut_down == Some(sent) { End::Cut } else { End::Held });
        }
        if read == 0 || !is_chunked && sent == length {
            break;
        }
        if let Some((_, interval)) = effects.drip {
            stream.flush()?;
            if !stop.wait(interval) {
                return Ok(End::Cut);
            }
        }
    }
    if is_chunked {
        stream.write_all(b"0\r\n\r\n")?;
    }
    stream.flush()?;
    Ok(End::Whole)
}

/// Sends headers until the client closes the connection.
fn header_bomb(stream: &mut Stream, head: &str, stop: &Stop) -> io::Result<End> {
    stream.write_all(head.as_bytes())?;
    let line = format!("X-Bomb: {}\r\n", "b".repeat(4000));
    while stop.wait(Duration::ZERO) {
        stream.write_all(line.as_bytes())?;
    }
    Ok(End::Cut)
}

/// Sends a body until the client closes the connection.
fn body_bomb(stream: &mut Stream, head: &[u8], stop: &Stop) -> io::Result<End> {
    stream.write_all(head)?;
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    while stop.wait(Duration::ZERO) {
        stream.write_all(chunk.as_bytes())?;
    }
    Ok(End::Cut)
}
